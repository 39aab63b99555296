"""The native API: domains in the path, JSON in and out, errors by address."""
