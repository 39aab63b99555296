"""Sockets: HTTP sites, line listeners, and the port that speaks both. They get callables and import no protocol."""
