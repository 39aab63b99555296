"""Start-up with a large journal: nothing is flushed, the process is killed, and the next one has to read it all back.

python bench/recovery.py [--journal-bytes 1000000000]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import verify
from bench.devops import Devops
from bench.figures import Figure, fresh_server, report
from bench.wire import JsonClient, send_streams

NOTHING_FLUSHED = {
    "AMDW_HEAD_LIMIT_BYTES": str(64 << 30),
    "AMDW_FLUSH_AGE_S": "86400",
    "AMDW_QUERY_POINTS": str(10**10),
}
READY_S = 15.0


def journal_bytes(directory: Path) -> int:
    """Return the length of all files that belong to the journal."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and "journal" in str(path))


class Feed:
    """Put lines of one share of the hosts, until the journal is large enough; counts the steps that were sent."""

    def __init__(self, data: Devops, share: tuple[int, int], directory: Path, limit_bytes: int):
        self._data, self._share, self._directory, self._limit_bytes = data, share, directory, limit_bytes
        self.steps = 0

    def __iter__(self) -> Iterator[bytes]:
        for buffer in self._data.telnet(*self._share):
            if self.steps % 20 == 0 and journal_bytes(self._directory) >= self._limit_bytes:
                return
            self.steps += 1
            yield buffer


def measure(limit_bytes: int = 1_000_000_000) -> list[Figure]:
    """Fill the journal, kill, start, count."""
    data = Devops(500, 40_000)
    with fresh_server(NOTHING_FLUSHED) as server:
        feeds = [Feed(data, share, server.data, limit_bytes) for share in ((0, 250), (250, 500))]
        send_streams(server.opentsdb, feeds)
        sent = sum(feed.steps * 2500 for feed in feeds)
        size = journal_bytes(server.data)
        server.kill9()
        ready_s = server.start().wait_ready(300.0)
        with JsonClient(server.kairosdb) as client:
            found = sum(verify.counts(client, data))
        rss = server.rss_bytes()
    if found != sent:
        raise verify.WrongAnswer(f"{found} points after the crash, {sent} were taken before")
    details = {"journal_bytes": float(size), "points": float(sent), "rss_mb": rss / 1e6}
    target = READY_S if limit_bytes >= 1_000_000_000 else None
    return [Figure(f"start with a journal of {size / 1e6:,.0f} MB", ready_s, "s", target, True, details)]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--journal-bytes", type=int, default=1_000_000_000, help="size to fill the journal to")
    report(measure(parser.parse_args().journal_bytes))


if __name__ == "__main__":
    main()
