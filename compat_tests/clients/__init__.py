"""Programs around real clients of other languages, and how they are built."""
