"""The devops data set: hosts that report ten cpu metrics every ten seconds, as values and as bytes on the wire.

A series is a metric of a host; its values are a random walk between 0 and 100 with two decimals. Everything follows
from the seed, so every answer of a server can be checked. Rows of bytes are built in numpy: a matrix with a column a
field, padded with NUL bytes, which are then left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Bytes2D = npt.NDArray[np.uint8]
START_S = 1_704_067_200
"""2024-01-01 00:00 UTC, a midnight, so that buckets of any size begin with the data."""

METRICS = tuple(
    f"cpu.usage_{what}"
    for what in ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
)
REGIONS = ("eu-central-1", "us-east-1", "us-west-2", "ap-southeast-1", "sa-east-1")
SYSTEMS = ("Ubuntu16.04", "Ubuntu15.10", "Debian12")
TEAMS = ("SF", "NYC", "LON", "CHI")
NUMBERS = np.array([f"{n / 100:.2f}".encode() for n in range(10_001)], dtype="S6").view(np.uint8).reshape(-1, 6)
"""Row n is the text of n hundredths, NUL padded."""


@dataclass(frozen=True)
class Devops:
    """A window of the data set.

    Attributes:
        hosts: number of hosts; series = hosts x metrics, ordered by host, then metric.
        steps: points a series.
        start_s, step_s: first time and distance, in s.
        seed: of the random walks.
        prefix: of the host names (another prefix = other series).
        metrics: names.
    """

    hosts: int
    steps: int
    start_s: int = START_S
    step_s: int = 10
    seed: int = 1
    prefix: str = "host"
    metrics: tuple[str, ...] = METRICS

    @property
    def series(self) -> int:
        """Number of series."""
        return self.hosts * len(self.metrics)

    @property
    def points(self) -> int:
        """Number of points."""
        return self.series * self.steps

    @property
    def start_ms(self) -> int:
        """Time of the first point, in ms."""
        return self.start_s * 1000

    @property
    def end_ms(self) -> int:
        """Time of the last point, in ms."""
        return (self.start_s + (self.steps - 1) * self.step_s) * 1000

    def host(self, number: int) -> str:
        """Return a host's name."""
        return f"{self.prefix}_{number}"

    def tags(self, number: int) -> dict[str, str]:
        """Return the eight tags of a host."""
        region = REGIONS[number % len(REGIONS)]
        return {
            "hostname": self.host(number),
            "region": region,
            "datacenter": region + "abc"[number // 5 % 3],
            "rack": str(number * 7 % 100),
            "os": SYSTEMS[number % len(SYSTEMS)],
            "arch": ("x64", "x86")[number // 3 % 2],
            "team": TEAMS[number // 2 % len(TEAMS)],
            "service": str(number % 20),
        }

    @cached_property
    def hundredths(self) -> npt.NDArray[np.int16]:
        """All values in hundredths, int16[steps, series]."""
        random = np.random.default_rng(self.seed)
        level = random.uniform(0, 100, self.series)
        out = np.empty((self.steps, self.series), np.int16)
        for step in range(self.steps):
            out[step] = np.rint(level * 100)
            level = np.clip(level + random.standard_normal(self.series), 0.0, 100.0)
        return out

    def values(self, host: int, metric: int) -> npt.NDArray[np.float64]:
        """Return the values of one series, float64[steps], exactly as a parser reads them."""
        return self.hundredths[:, host * len(self.metrics) + metric].astype(np.float64) / 100.0

    def metric_values(self, metric: int) -> npt.NDArray[np.float64]:
        """Return the values of all hosts of a metric, float64[steps, hosts]."""
        return self.hundredths[:, metric :: len(self.metrics)].astype(np.float64) / 100.0

    # bytes on the wire ------------------------------------------------------------------------------------------------

    def telnet(self, host_from: int = 0, host_to: int | None = None) -> Iterator[bytes]:
        """Yield the put lines of some hosts, a step after the other."""
        which = self._which(host_from, host_to)
        tags = [" ".join(f"{k}={v}" for k, v in self.tags(host).items()) for host in self._hosts(which)]
        head = [f"put {metric} " for _ in tags for metric in self.metrics]
        tail = [f" {one}\n" for one in tags for _ in self.metrics]
        yield from self._rows(which, head, " ", tail, 10)

    def opentsdb_batches(self, batch: int = 1000) -> Iterator[bytes]:
        """Yield JSON arrays of `batch` points, each of another series while there are that many."""
        which = self._which(0, None)
        head = [f'{{"metric":"{metric}","timestamp":' for _ in range(self.hosts) for metric in self.metrics]
        tail = [f',"tags":{json_tags(self.tags(h))}}},\x01' for h in range(self.hosts) for _ in self.metrics]
        kept: list[bytes] = []
        for step in self._rows(which, head, ',"value":', tail, 10):
            kept += step.split(b"\x01")[:-1]
            while len(kept) >= batch:
                yield b"[" + b"".join(kept[:batch])[:-1] + b"]"
                del kept[:batch]
        if kept:
            yield b"[" + b"".join(kept)[:-1] + b"]"

    def kairosdb_batches(self, batch: int = 1000, points_a_series: int = 100) -> Iterator[bytes]:
        """Yield JSON arrays of `batch` points: some series, each with a run of `points_a_series`."""
        tails = [f'","tags":{json_tags(self.tags(h))},"datapoints":[' for h in range(self.hosts) for _ in self.metrics]
        heads = [f'{{"name":"{metric}' for _ in range(self.hosts) for metric in self.metrics]
        names = [head + tail for head, tail in zip(heads, tails, strict=True)]
        per_body = max(1, batch // points_a_series)
        for first in range(0, self.steps, points_a_series):
            last = min(first + points_a_series, self.steps)
            for at in range(0, self.series, per_body):
                runs = self._runs(slice(at, at + per_body), first, last)
                bodies = (n.encode() + run + b"]}" for n, run in zip(names[at : at + per_body], runs, strict=True))
                yield b"[" + b",".join(bodies) + b"]"

    def _runs(self, which: slice, first: int, last: int) -> list[bytes]:
        """Return the `[time,value],...` texts of some series, a row each."""
        cells = self.hundredths[first:last, which].T
        times = [f"[{(self.start_s + step * self.step_s) * 1000}," for step in range(first, last)]
        time_bytes = padded(times)
        out = np.zeros((*cells.shape, time_bytes.shape[1] + 6 + 2), np.uint8)
        out[:, :, : time_bytes.shape[1]] = time_bytes
        out[:, :, time_bytes.shape[1] : -2] = NUMBERS[cells]
        out[:, :, -2:] = np.frombuffer(b"],", np.uint8)
        return [row[row != 0].tobytes()[:-1] for row in out.reshape(len(cells), -1)]

    def _which(self, host_from: int, host_to: int | None) -> slice:
        width = len(self.metrics)
        return slice(host_from * width, (self.hosts if host_to is None else host_to) * width)

    def _hosts(self, which: slice) -> range:
        return range(which.start // len(self.metrics), which.stop // len(self.metrics))

    def _rows(
        self, which: slice, head: Sequence[str], middle: str, tail: Sequence[str], digits: int
    ) -> Iterator[bytes]:
        """Yield the rows of each step: head, time (`digits` digits), middle, value, tail."""
        heads, tails = padded(head), padded(tail)
        between = np.frombuffer(middle.encode(), np.uint8)
        time_at = heads.shape[1]
        value_at = time_at + digits + len(between)
        matrix = np.zeros((len(heads), value_at + 6 + tails.shape[1]), np.uint8)
        matrix[:, :time_at] = heads
        matrix[:, time_at + digits : value_at] = between
        matrix[:, value_at + 6 :] = tails
        flat = matrix.reshape(-1)
        for step in range(self.steps):
            stamp = str(self.start_s + step * self.step_s).encode()
            matrix[:, time_at : time_at + digits] = np.frombuffer(stamp, np.uint8)
            matrix[:, value_at : value_at + 6] = NUMBERS[self.hundredths[step, which]]
            yield flat[flat != 0].tobytes()


def json_tags(tags: dict[str, str]) -> str:
    """Return tags as a JSON object without blanks (the data set's tags need no escapes)."""
    return "{" + ",".join(f'"{k}":"{v}"' for k, v in tags.items()) + "}"


def padded(texts: Sequence[str]) -> Bytes2D:
    """Return ASCII texts as a matrix, one row each, padded with NUL: uint8[n, longest]."""
    column = np.array([text.encode() for text in texts], dtype=np.bytes_)
    return column.view(np.uint8).reshape(len(texts), column.dtype.itemsize)
