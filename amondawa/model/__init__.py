"""The vocabulary that all layers share: series, columns of points, queries, results. No I/O."""
