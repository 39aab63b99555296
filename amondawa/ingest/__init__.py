"""The write path: group-committed journal, head in memory, flush to chunks."""
