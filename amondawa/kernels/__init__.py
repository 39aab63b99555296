"""Compiled loops (numba) with pure Python twins; nothing here does I/O."""
