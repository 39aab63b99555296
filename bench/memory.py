"""Peak memory of the server while it takes 10 million points of 100,000 series.

python bench/memory.py [--scale 0.1]
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


def measure(scale: float = 1.0, hosts: int = 10_000) -> list[Figure]:
    """Send the points as they are made, then ask for all of them; the peak before the questions is the figure."""
    data = Devops(hosts, max(5, round(100 * scale)))
    with fresh_server() as server:
        idle = server.rss_bytes()
        send_streams(server.opentsdb, [data.telnet(0, hosts // 2), data.telnet(hosts // 2, hosts)])
        peak = server.peak_rss_bytes()
        verify.wait_readable(server.kairosdb, data, time.perf_counter())
        verify.check_all(server.kairosdb, data)
        details = {
            "points": float(data.points),
            "idle_mb": idle / 1e6,
            "after_queries_mb": server.rss_bytes() / 1e6,
            "peak_with_queries_mb": server.peak_rss_bytes() / 1e6,
        }
    name = f"peak memory, {data.points:,} points over {data.series:,} series"
    return [Figure(name, peak / 1e6, "MB", 400.0, True, details)]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points to send")
    report(measure(parser.parse_args().scale))


if __name__ == "__main__":
    main()
