"""`amondawa export` and `import`: points as files, in pieces of bounded size, in ways that go on where they stopped.

The forms are those of `client.forms` and `client.parquet`. A name that ends in `.gz` is packed; one that ends in `.csv` or
`.parquet` says the form.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from amondawa.cli_client import client_options, complain, make_client
from amondawa.client.files import Input, Output, replace_text
from amondawa.client.forms import LINE_FORMS, Record, Unwritable, read_lines, write_lines
from amondawa.client.requests import ClientError, Query, Refused, Series, Stream, Value
from amondawa.client.sweep import Sweep
from amondawa.client.synchronous import Client

FORMS = (*LINE_FORMS, "parquet")
BATCH_POINTS = 10_000
BATCH_BYTES = 4 * 1024 * 1024
"""texts of one request"""
_BY_NAME = {".csv": "csv", ".parquet": "parquet"}
_BAR_UNITS = 1_000
_FAILED = 1
_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])
Write = Callable[[Stream], None]
"""writes one series to a file"""


def form_of(file: str, form: str | None) -> str:
    """Return the form that was asked for, or the one that a file's name says."""
    name = file.removesuffix(".gz")
    return form or next((found for suffix, found in _BY_NAME.items() if name.endswith(suffix)), "json")


def _form_option(command: F) -> F:
    help_text = "[csv and parquet by the file's name, else json]"
    return click.option("--format", "form", type=click.Choice(FORMS), help=help_text)(command)


def _mark_option(help_text: str) -> Callable[[F], F]:
    path = click.Path(dir_okay=False, path_type=Path)
    return click.option("--resume", "mark", type=path, metavar="MARK", help=help_text)


# export ---------------------------------------------------------------------------------------------------------------


@click.command("export")
@client_options
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--metric", "metrics", multiple=True, help="As often as needed; none = all.")
@click.option("--start", default="0", help="1h, 2026-11-23T12:00, or ms since 1970 UTC.  [all]")
@click.option("--end", default="now", help="The same.  [now]")
@_form_option
@_mark_option("Keep in MARK which metrics are done, and go on behind them.")
def export_points(
    file: str, metrics: tuple[str, ...], start: str, end: str, form: str | None, mark: Path | None, **options: Any
) -> int:
    """Write the domain's points to FILE (`-` = stdout), packed when its name ends in .gz.

    The exit status is 1 when something had to be left out.
    """
    chosen = form_of(file, form)
    if chosen == "parquet" and (mark is not None or file == "-" or file.endswith(".gz")):
        raise click.UsageError("a Parquet file is written in one go, packed as it is, and not to stdout")
    if mark is not None and file == "-":
        raise click.UsageError("--resume needs a FILE")
    range_ms = _range_ms(start, end)
    with make_client(options) as client:
        wanted = sorted(set(metrics)) or client.metric_names()
        done = _Export(file, mark)
        try:
            done.run(Sweep(client, *range_ms), wanted, chosen)
        except (ClientError, OSError, KeyboardInterrupt) as error:
            return _stopped(error, done.hint())
    click.echo(f"{done.points} points of {len(wanted)} metrics", err=True)
    return _FAILED if done.left_out else 0


def _range_ms(start: str, end: str) -> tuple[int, int]:
    now_ms = time.time_ns() // 1_000_000
    try:
        return Query("", start, end).range_ms(now_ms)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _stopped(error: BaseException, hint: str) -> int:
    interrupted = isinstance(error, KeyboardInterrupt)
    complain(f"{'interrupted' if interrupted else error}; {hint}")
    return _INTERRUPTED if interrupted else _FAILED


class _Export:
    """An export and its mark: the size of the file, then the metrics that are in it whole, one a line, as JSON texts."""

    def __init__(self, file: str, mark: Path | None) -> None:
        self._file = file
        self._mark = mark
        self.points = 0
        self.left_out = 0
        size, *names = mark.read_text("utf-8").split("\n") if mark is not None and mark.exists() else ["0"]
        if not size.isdigit():
            raise click.UsageError(f"{mark} is no mark of an export")
        self._size = int(size)
        self._done = names

    def run(self, sweep: Sweep, metrics: list[str], form: str) -> None:
        """Write the metrics that are not done yet. Raises ClientError, OSError."""
        left = [metric for metric in metrics if _quoted(metric) not in set(self._done)]
        with Output(self._file, self._size) as out:
            if form == "parquet":
                from amondawa.client.parquet import ParquetSink

                with ParquetSink(out.raw) as sink:
                    self._sweep(sweep, left, sink.write, out)
            else:
                self._sweep(sweep, left, lambda stream: out.write(write_lines(form, stream)), out)
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)

    def _sweep(self, sweep: Sweep, metrics: list[str], write: Write, out: Output) -> None:
        length = len(metrics) * _BAR_UNITS
        with click.progressbar(length=length, label="export", file=sys.stderr) as bar:
            for number, metric in enumerate(metrics):
                for streams, share in sweep.read(metric):
                    for stream in streams:
                        self._write(write, stream)
                    bar.update(int((number + share) * _BAR_UNITS) - bar.pos)
                self._note(metric, out)

    def _write(self, write: Write, stream: Stream) -> None:
        """Write a series without what no form can hold."""
        kept = [point for point in stream.values if point[1] is not None]
        if len(kept) < len(stream.values):
            self._leave_out(f"{len(stream.values) - len(kept)} points of {stream.label} are no finite numbers")
        try:
            write(stream._replace(values=kept))
            self.points += len(kept)
        except Unwritable as error:
            self._leave_out(str(error))

    def _leave_out(self, text: str) -> None:
        self.left_out += 1
        complain(f"left out: {text}")

    def _note(self, metric: str, out: Output) -> None:
        if self._mark is not None:
            self._done.append(_quoted(metric))
            replace_text(self._mark, "\n".join([str(out.whole()), *self._done]))

    def hint(self) -> str:
        """Say how to go on."""
        if self._mark is None:
            return "with --resume MARK an export goes on where it stopped"
        return f"the same command goes on behind the {len(self._done)} metrics that are done"


def _quoted(name: str) -> str:
    """Return a name that may hold line feeds in one line."""
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


# import ---------------------------------------------------------------------------------------------------------------


@click.command("import")
@client_options
@click.argument("file", type=click.Path(dir_okay=False))
@_form_option
@click.option(
    "--skip", type=click.IntRange(0), default=0, help="Lines (rows of Parquet) at the beginning to leave out."
)
@click.option("--keep-going", is_flag=True, help="Tell what cannot be read, and go on with the next line.")
@_mark_option("Keep in MARK how far it is, and go on there.")
def import_points(file: str, form: str | None, skip: int, keep_going: bool, mark: Path | None, **options: Any) -> int:
    """Read points from FILE (`-` = stdin), packed when its name ends in .gz. What is there already is written again.

    The exit status is 1 when something could not be read or written.
    """
    chosen = form_of(file, form)
    if chosen == "parquet" and (file == "-" or file.endswith(".gz")):
        raise click.UsageError("Parquet is read from a file that is not packed again")
    with make_client(options) as client:
        job = _Import(client, file, mark, skip, keep_going)
        try:
            job.run(chosen)
        except (ClientError, OSError, KeyboardInterrupt) as error:
            return _stopped(error, job.hint())
    click.echo(f"{job.points} points", err=True)
    return _FAILED if job.bad else 0


class _Import:
    """An import. Lines up to `written` are in the gateway, whole."""

    def __init__(self, client: Client, file: str, mark: Path | None, skip: int, keep_going: bool) -> None:
        self._client = client
        self._file = file
        self._mark = mark
        self._keep_going = keep_going
        text = mark.read_text("utf-8").strip() if mark is not None and mark.exists() else "0"
        if not text.isdigit():
            raise click.UsageError(f"{mark} is no mark of an import")
        self.written = max(skip, int(text))
        self.points = 0
        self.bad = 0
        self._batch = _Batch()

    def run(self, form: str) -> None:
        """Write what the file holds behind `written`. Raises ClientError."""
        if form == "parquet":
            from amondawa.client.parquet import read_parquet

            self._take(read_parquet(Path(self._file)), 0, lambda: 0)
        else:
            with Input(self._file) as source:
                self._take(read_lines(form, source.lines()), source.size, lambda: source.position)
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)

    def _take(self, records: Iterator[Record], size: int, position: Callable[[], int]) -> None:
        last = self.written

        def written(_item: int | None) -> str:
            return f"{self.points:,} points"

        with click.progressbar(length=max(1, size), label="import", file=sys.stderr, item_show_func=written) as bar:
            for record in records:
                if record.line <= self.written:
                    continue
                if record.problem:
                    self._refuse(record)
                for one in record.series:
                    self._add(one)
                last = record.line
                if self._batch.full:
                    self._send(last)
                    bar.update(max(0, position() - bar.pos))
            self._send(last)
            bar.update((bar.length or 0) - bar.pos)

    def _refuse(self, record: Record) -> None:
        text = f"{self._file}:{record.line}: {record.problem}"
        if not self._keep_going:
            self._send(record.line - 1)
            raise ClientError(text)
        self.bad += 1
        complain(text)

    def _add(self, series: Series) -> None:
        """Take the points of a series, in pieces: a line may hold any number. Those of its earlier pieces may be sent."""
        for at in range(0, len(series.points), BATCH_POINTS):
            self._batch.add(Series(series.name, series.tags, series.points[at : at + BATCH_POINTS]))
            if self._batch.full and at + BATCH_POINTS < len(series.points):
                self._send(self.written)

    def _send(self, line: int) -> None:
        """Write the batch; with it everything up to a line is there."""
        if self._batch.points:
            try:
                self._client.write(self._batch.series())
            except Refused as error:
                where = f"{self._file}:{self.written + 1}-{max(line, self.written + 1)}"
                raise ClientError(f"{where}: refused with {error}") from error
            self.points += self._batch.points
            self._batch = _Batch()
        self.written = max(self.written, line)
        if self._mark is not None:
            replace_text(self._mark, str(self.written))

    def hint(self) -> str:
        """Say how to go on."""
        if self._mark is not None:
            return f"the same command goes on behind line {self.written}"
        return f"--skip {self.written} goes on behind what is written"


class _Batch:
    """Points to write in one request, together by series."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, Value]]] = {}
        self.points = 0
        self._bytes = 0

    def add(self, series: Series) -> None:
        """Take points, behind those of the same series."""
        key = (series.name, tuple(sorted(series.tags.items())))
        self._points.setdefault(key, []).extend(series.points)
        self.points += len(series.points)
        self._bytes += sum(len(value) for _, value in series.points if isinstance(value, str))

    @property
    def full(self) -> bool:
        """Whether it is time to send it."""
        return self.points >= BATCH_POINTS or self._bytes >= BATCH_BYTES

    def series(self) -> list[Series]:
        """Return what is to be written."""
        return [Series(name, dict(tags), points) for (name, tags), points in self._points.items()]
