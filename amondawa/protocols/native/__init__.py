"""The native API: domains in the path."""
