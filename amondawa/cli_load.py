"""`amondawa load`: a load generator with a rate, threads, a duration, batches, and figures at the end."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import click

from amondawa.cli_client import client_options, make_client
from amondawa.client.requests import ClientError, Refused, Series

LOOK_S = 0.1
INTERRUPTED = 130


@dataclass(slots=True)
class Figures:
    """What one thread did: latencies in s of the batches that were taken, and how many were not."""

    latencies_s: list[float] = field(default_factory=list)
    points: int = 0
    failures: int = 0
    last_failure: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What each thread does.

    Attributes:
        metric: name.
        batch: points of one request, one of each of as many series.
        pause_s: from the beginning of one request to that of the next; 0 = none.
        duration_s: of the whole.
        ended: set when it is to end before that.
    """

    metric: str
    batch: int
    pause_s: float
    duration_s: float
    ended: threading.Event = field(default_factory=threading.Event)


@click.command()
@client_options
@click.option("--metric", default="load.test", help="Metric to write.  [load.test]")
@click.option(
    "--rate", type=click.FloatRange(0), default=0.0, help="Points a second in all; 0 = as fast as it goes.  [0]"
)
@click.option("--threads", type=click.IntRange(1, 1_000), default=4, help="Connections that write.  [4]")
@click.option("--duration", type=click.FloatRange(0.1), default=10.0, help="In seconds.  [10]")
@click.option("--batch-size", type=click.IntRange(1, 1_000_000), default=1_000, help="Points a request.  [1000]")
def load(metric: str, rate: float, threads: int, duration: float, batch_size: int, **options: Any) -> int:
    """Write made-up points and tell how it went; the exit status is 1 when no batch was taken."""
    pause_s = threads * batch_size / rate if rate > 0 else 0.0
    plan = Plan(metric, batch_size, pause_s, duration)
    figures = [Figures() for _ in range(threads)]
    workers = [
        threading.Thread(target=_work, args=(dict(options), plan, number, one), daemon=True)
        for number, one in enumerate(figures)
    ]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    status = 0
    try:
        _watch(workers, figures, duration)
    except KeyboardInterrupt:  # what was done until then is told
        status = INTERRUPTED
        plan.ended.set()
    for worker in workers:
        worker.join()
    return _tell(figures, time.monotonic() - began) or status


def _work(options: dict[str, Any], plan: Plan, number: int, figures: Figures) -> None:
    """Write batches until the time is over."""
    began = time.monotonic()
    due = began
    with make_client(options) as client:
        while time.monotonic() - began < plan.duration_s and not plan.ended.is_set():
            now_ms = time.time_ns() // 1_000_000
            batch = [
                Series(plan.metric, {"thread": str(number), "series": str(one)}, [(now_ms, one)])
                for one in range(plan.batch)
            ]
            sent = time.monotonic()
            try:
                client.write(batch)
            except ClientError as error:
                figures.failures += 1
                figures.last_failure = str(error)
                if isinstance(error, Refused) and error.retry_after_s is None:
                    return  # the next one would be refused in the same way
            else:
                figures.latencies_s.append(time.monotonic() - sent)
                figures.points += plan.batch
            due += plan.pause_s
            plan.ended.wait(max(0.0, min(due - time.monotonic(), began + plan.duration_s - time.monotonic())))


def _watch(workers: list[threading.Thread], figures: list[Figures], duration_s: float) -> None:
    """Show how far it is, and how fast."""
    began = time.monotonic()

    def speed(_item: object) -> str:
        return f"{sum(one.points for one in figures) / max(0.001, time.monotonic() - began):,.0f} points/s"

    with click.progressbar(length=int(duration_s * 1000), label="load", item_show_func=speed) as bar:
        while any(worker.is_alive() for worker in workers):
            time.sleep(LOOK_S)
            bar.update(int((time.monotonic() - began) * 1000) - bar.pos)


def _tell(figures: list[Figures], elapsed_s: float) -> int:
    points = sum(one.points for one in figures)
    failures = sum(one.failures for one in figures)
    latencies = sorted(latency for one in figures for latency in one.latencies_s)
    click.echo(f"points: {points}  batches: {len(latencies)}  failed batches: {failures}")
    click.echo(f"seconds: {elapsed_s:.1f}  points/s: {points / elapsed_s:,.0f}")
    if latencies:
        shown = (f"p{share}: {_percentile(latencies, share) * 1000:.1f}" for share in (50, 90, 99))
        click.echo(f"latency ms  {'  '.join(shown)}  max: {latencies[-1] * 1000:.1f}")
    for text in sorted({one.last_failure for one in figures if one.last_failure}):
        click.echo(f"failure: {text}", err=True)
    return 0 if latencies else 1


def _percentile(ascending: list[float], share: int) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * share // 100)]
