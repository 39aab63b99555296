"""Measurements against a running server, and of single parts."""
