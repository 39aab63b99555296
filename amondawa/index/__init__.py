"""Which series exist: refs for series keys, tag columns per metric, rows per block, names."""
