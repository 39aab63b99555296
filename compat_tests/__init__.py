"""Tests that talk to a real server process over sockets."""
