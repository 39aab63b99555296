"""Bytes a point on disk: a day of 1,000 series every ten seconds, after an orderly end has flushed everything.

python bench/disk.py [--scale 0.1]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import verify
from bench.devops import Devops
from bench.figures import Figure, fresh_server, report
from bench.wire import send_streams


def sizes(directory: Path) -> tuple[int, int]:
    """Return the bytes of all files: as allocated on the disk (du), and as the files' lengths."""
    found = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return sum(one.st_blocks * 512 for one in found), sum(one.st_size for one in found)


def measure(scale: float = 1.0) -> list[Figure]:
    """Store the day, end the server in order, start it again to check the answers, and weigh the directory."""
    data = Devops(100, max(360, round(8640 * scale)))
    with fresh_server() as server:
        send_streams(server.opentsdb, [data.telnet(0, 50), data.telnet(50, 100)])
        status = server.terminate(120.0)
        allocated, length = sizes(server.data)
        server.start().wait_ready()
        verify.wait_readable(server.kairosdb, data, time.perf_counter())
        verify.check_all(server.kairosdb, data)
    details = {
        "points": float(data.points),
        "bytes": float(allocated),
        "file_bytes": float(length),
        "exit": float(status),
    }
    return [Figure("bytes a point on disk", allocated / data.points, "bytes", 1.5, True, details)]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the day to store")
    report(measure(parser.parse_args().scale))


if __name__ == "__main__":
    main()
