"""Series arithmetic: pure functions over arrays; knows no protocol and no store."""
