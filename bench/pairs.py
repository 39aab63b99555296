"""Two checkouts side by side: CPU of the same work, done in turn by a server of each, so that a noisy machine shows less.

    git worktree add --detach ../before COMMIT
    python bench/pairs.py ../before [--work kairosdb,opentsdb,telnet,query] [--rounds 7]

Each round sends the same bytes to one server and then to the other (and the other way round in the next). The ratio is
the median of the rounds' ratios: below 1, this checkout needs less. Nothing is checked here but that all was accepted;
`ingest.py` and `query.py` verify what they measure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.devops import Devops
from bench.figures import wait_idle
from bench.ingest import KAIROSDB_PATH, OPENTSDB_PATH, address_of, telnet_streams
from bench.query import Questions
from bench.wire import JsonClient, post_batches, post_singles, request_bytes, send_streams
from compat_tests.process import ROOT, ServerProcess

DATA = Devops(100, 10)
SINGLE_STEPS = 4
"""steps of all series a round of one-point requests: 4,000 requests"""
BATCH_STEPS = 200
TELNET_STEPS = 500
QUESTIONS_A_ROUND = 300

Round = Callable[[ServerProcess], None]


@contextmanager
def server_of(checkout: Path) -> Iterator[ServerProcess]:
    """Run a checkout's server on an empty data directory."""
    directory = Path(tempfile.mkdtemp(prefix="amondawa-pairs-", dir=os.environ.get("BENCH_DIRECTORY")))
    server = _OtherServer(directory / "data", checkout)
    try:
        server.start().wait_ready()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


class _OtherServer(ServerProcess):
    """A server whose code comes from a checkout of one's choice."""

    def __init__(self, data: Path, checkout: Path) -> None:
        super().__init__(data)
        self._checkout = checkout.resolve()

    def _command(self) -> list[str]:
        return ["env", f"PYTHONPATH={self._checkout}", *super()._command()]


@dataclass
class Compared:
    """CPU seconds of both by round.

    Attributes:
        name, unit: what was done; one piece of it.
        ours, theirs: CPU microseconds a piece, a value a round.
    """

    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def line(self) -> str:
        """Return the medians and the median ratio as a row of a table."""
        ratio = statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        least = f"{min(self.theirs):.4g} → {min(self.ours):.4g}"
        return f"| {self.name} | {theirs:.4g} | {ours:.4g} | {least} | us/{self.unit} | {ratio:.3f} |"


def singles(path: str, number: int) -> tuple[Round, int]:
    """Return a round of one-point requests."""
    data = _later(number, SINGLE_STEPS)
    bodies = data.kairosdb_batches(1, 1) if path == KAIROSDB_PATH else data.opentsdb_batches(1)
    requests = [request_bytes(path, body) for body in bodies]
    return lambda server: _void(post_singles(address_of(server, path), requests)), len(requests)


def batches(path: str, number: int) -> tuple[Round, int]:
    """Return a round of bodies of 1,000 points."""
    data = _later(number, BATCH_STEPS)
    bodies = data.kairosdb_batches(1000, 100) if path == KAIROSDB_PATH else data.opentsdb_batches(1000)
    requests = [request_bytes(path, body) for body in bodies]
    return lambda server: post_batches(address_of(server, path), requests), data.points


def telnet(number: int) -> tuple[Round, int]:
    """Return a round of put lines."""
    data = _later(number, TELNET_STEPS)
    streams = telnet_streams(data)
    return lambda server: send_streams(server.opentsdb, streams), data.points


def questions(opentsdb: bool, number: int) -> tuple[Round, int]:
    """Return a round of questions for one host over 1 h in buckets of 1 min; the first round stores the data."""
    data = Devops(100, 720)
    both = Questions(data, data).one_host()
    question = both[1] if opentsdb else both[0]

    def ask(server: ServerProcess) -> None:
        if not number:
            send_streams(server.opentsdb, telnet_streams(data))
            server.terminate()
            server.start().wait_ready()
        with JsonClient(server.opentsdb if opentsdb else server.kairosdb) as client:
            for _ in range(QUESTIONS_A_ROUND):
                client.raw(question.method, question.path, question.body)

    return ask, QUESTIONS_A_ROUND


def _later(number: int, steps: int) -> Devops:
    """Return the data of a round: a stretch of time of its own."""
    return replace(DATA, steps=steps, start_s=DATA.start_s + number * steps * DATA.step_s, seed=number)


def _void(_answer: object) -> None:
    """Forget an answer."""


WORK: dict[str, tuple[Callable[[int], tuple[Round, int]], str]] = {
    "kairosdb": (partial(singles, KAIROSDB_PATH), "request"),
    "opentsdb": (partial(singles, OPENTSDB_PATH), "request"),
    "kairosdb_batches": (partial(batches, KAIROSDB_PATH), "point"),
    "opentsdb_batches": (partial(batches, OPENTSDB_PATH), "point"),
    "telnet": (telnet, "point"),
    "kairosdb_query": (partial(questions, False), "query"),
    "opentsdb_query": (partial(questions, True), "query"),
}


def compare(name: str, before: Path, rounds: int) -> Compared:
    """Run rounds of one kind of work in turn, the first one uncounted."""
    make, unit = WORK[name]
    compared = Compared(name, unit)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(server_of(one)) for one in (ROOT, before))
        for number in range(rounds + 1):
            work, pieces = make(number)
            pair = ((ours, compared.ours), (theirs, compared.theirs))
            for server, taken in pair if number % 2 else reversed(pair):
                used_us = _cpu_us(server, work) / pieces
                if number:
                    taken.append(used_us)
    return compared


def _cpu_us(server: ServerProcess, work: Round) -> float:
    """Return the CPU microseconds that a server takes for some work, until it is idle again."""
    pid, before_s = server.pid, wait_idle(server)
    work(server)
    return (wait_idle(server) - (before_s if server.pid == pid else 0)) * 1e6


def main() -> None:
    """Compare this checkout with another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--work", default=",".join(WORK), help="kinds of work, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print("| work | before: median | now: median | least | unit | ratio |\n|---|---|---|---|---|---|")
    for name in arguments.work.split(","):
        print(compare(name, arguments.before, arguments.rounds).line(), flush=True)


if __name__ == "__main__":
    main()
