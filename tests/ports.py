"""Ports for the servers that tests start: none that the system may give to an outgoing connection in the meantime.

A port that the system chose (port 0) comes from the range that outgoing connections get theirs from, so once it was
let go one of them may sit on it when the server binds it, or binds it again after a restart.
"""

from __future__ import annotations

import os
import socket
from itertools import count
from pathlib import Path

HOST = "127.0.0.1"
_FIRST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_END = 32_768


def _end() -> int:
    """Return the first port that outgoing connections may get."""
    return int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _USUAL_END


# Test processes that run side by side begin far from each other.
_numbers = count(os.getpid() * 1_009)


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback address that nothing listens on, each of them once in the life of this process."""
    span = max(1_000, _end() - _FIRST)
    ports: list[int] = []
    for candidate in _numbers:
        port = _FIRST + candidate % span
        try:
            socket.create_server((HOST, port)).close()
        except OSError:
            continue  # taken
        ports.append(port)
        if len(ports) == number:
            return ports
    raise AssertionError("the numbers have no end")


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]
