"""Crash rounds on one data directory: start, check, write, kill at a random moment, again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from compat_tests.crash_model import CrashModel
from compat_tests.crash_writers import HttpWriter, KairosdbTelnetWriter, TelnetWriter, Writer, read_points
from compat_tests.process import ServerProcess

SMALL_HEAD = {"AMDW_HEAD_LIMIT_BYTES": "1048576", "AMDW_FLUSH_AGE_S": "1", "AMDW_OPENTSDB_ALLOW_DELETE": "true"}
"""So little memory that flushes and merges happen all the time, and crashes hit them."""
WRITERS: dict[str, type[Writer]] = {
    "crash.http.a": HttpWriter,
    "crash.http.b": HttpWriter,
    "crash.telnet.opentsdb": TelnetWriter,
    "crash.telnet.kairosdb": KairosdbTelnetWriter,
}


@dataclass
class Tally:
    """What the rounds so far did."""

    rounds: int = 0
    kills: int = 0
    kills_while_starting: int = 0
    orderly_ends: int = 0
    acknowledged: int = 0
    points_checked: int = 0
    slowest_start_s: float = 0.0


class Campaign:
    """Rounds on one data directory.

    Args:
        data: the directory.
        seed: decides every choice but the moment that the machine reaches at the kill.
        longest_s: longest time that writers run in a round.
    """

    def __init__(self, data: Path, seed: int = 1, longest_s: float = 0.6):
        self.server = ServerProcess(data, SMALL_HEAD)
        self.models = {metric: CrashModel() for metric in WRITERS}
        self.tally = Tally()
        self._random = random.Random(seed)
        self._longest_s = longest_s

    def round(self) -> list[str]:
        """Start the server, check everything, write, end it; return the violations."""
        self._start()
        problems = self.check()
        writers = self._start_writers()
        time.sleep(self._random.uniform(0.05, self._longest_s))
        orderly = self._random.random() < 0.1
        if orderly:
            self._end_in_order(writers)
        else:
            self._kill(writers)
        self.tally.rounds += 1
        for writer in writers:
            self.tally.acknowledged += writer.acknowledged
            problems += writer.problems
        return problems

    def check(self) -> list[str]:
        """Compare all that a freshly started server holds with the models; return the violations."""
        problems: list[str] = []
        for metric, model in self.models.items():
            self.tally.points_checked += model.certain()
            found = read_points(self.server, metric)
            problems += [f"{metric}: {text}" for text in model.observe(found, crashed=True)]
        return problems

    def last_check(self) -> list[str]:
        """Start the server once more, check, end it in order; return the violations."""
        self._start()
        problems = self.check()
        status = self.server.terminate()
        return problems if status == 0 else [*problems, f"exit status {status} after SIGTERM"]

    def _start(self) -> None:
        while self._random.random() < 0.08:
            self.server.start()
            time.sleep(self._random.uniform(0.05, 1.5))
            self.server.kill9()
            self.tally.kills_while_starting += 1
        self.tally.slowest_start_s = max(self.tally.slowest_start_s, self.server.start().wait_ready())

    def _start_writers(self) -> list[Writer]:
        series = f"r{self.tally.rounds}"
        seeds = [self._random.randrange(1, 10**9) for _ in WRITERS]
        writers = [
            kind(self.server, metric, self.models[metric], seed, series)
            for seed, (metric, kind) in zip(seeds, WRITERS.items(), strict=True)
        ]
        for writer in writers:
            writer.start()
        return writers

    def _kill(self, writers: list[Writer]) -> None:
        self.server.kill9()
        for writer in writers:
            writer.finish.set()
            writer.join()
        self.tally.kills += 1

    def _end_in_order(self, writers: list[Writer]) -> None:
        for writer in writers:
            writer.finish.set()
        for writer in writers:
            writer.join()
        status = self.server.terminate()
        self.tally.orderly_ends += 1
        if status != 0:
            writers[0].problems.append(f"exit status {status} after SIGTERM:\n{self.server.log_tail()}")
        for writer in writers:
            if isinstance(writer, TelnetWriter) and not writer.problems:
                writer.model.settle()
