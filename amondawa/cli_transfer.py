"""`amondawa export` and `import`: points as files, in ways that go on where they stopped.

Forms: `json` (a line for each series and stretch: name, tags, datapoints), `csv` (metric, time in ms, value, tags as JSON),
and `opentsdb` (`metric time value tag=value …`, as OpenTSDB's `scan --import` writes and its `import` reads). A name that
ends in `.gz` is packed.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import click

from amondawa.cli_client import client_options, make_client, parse_tags, parse_value
from amondawa.client.requests import Query, Series, Stream
from amondawa.client.synchronous import Client

FORMS = ("json", "csv", "opentsdb")
BATCH_POINTS = 10_000
STRETCH_POINTS = 100_000
SECONDS_BELOW = 10_000_000_000
"""times below this in OpenTSDB's form are seconds"""


@click.command("export")
@client_options
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--metric", "metrics", multiple=True, help="As often as needed; none = all.")
@click.option("--start", default="0", help="1h, 2026-11-23T12:00, or ms since 1970 UTC.  [all]")
@click.option("--end", help="The same.  [now]")
@click.option("--format", "form", type=click.Choice(FORMS), default="json", show_default=True)
def export_points(file: str, metrics: tuple[str, ...], start: str, end: str | None, form: str, **options: Any) -> int:
    """Write the domain's points to FILE (`-` = stdout)."""
    with make_client(options) as client, _opened(file, "w") as out:
        chosen = list(metrics) or client.metric_names()
        count = 0
        with click.progressbar(chosen, label="export", file=sys.stderr) as bar:
            for metric in bar:
                for stream in client.streams(Query(metric, start, end)):
                    count += _write_stream(out, stream, form)
    click.echo(f"{count} points of {len(chosen)} metrics", err=True)
    return 0


def _write_stream(out: IO[str], stream: Stream, form: str) -> int:
    """Write one series; return its number of points."""
    tags = {name: value if isinstance(value, str) else value[0] for name, value in stream.tags.items()}
    if form == "json":
        for at in range(0, len(stream.values), STRETCH_POINTS):
            stretch = stream.values[at : at + STRETCH_POINTS]
            out.write(
                json.dumps({"name": stream.name, "tags": tags, "datapoints": stretch}, separators=(",", ":")) + "\n"
            )
    elif form == "csv":
        text = json.dumps(tags, sort_keys=True, separators=(",", ":"))
        csv.writer(out).writerows((stream.name, time, json.dumps(value), text) for time, value in stream.values)
    else:
        words = "".join(f" {name}={value}" for name, value in sorted(tags.items()))
        out.writelines(f"{stream.name} {time} {json.dumps(value)}{words}\n" for time, value in stream.values)
    return len(stream.values)


@click.command("import")
@client_options
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--format", "form", type=click.Choice(FORMS), default="json", show_default=True)
@click.option(
    "--resume", type=click.Path(dir_okay=False), metavar="MARK", help="Keep in MARK how far it is, and go on there."
)
def import_points(file: str, form: str, resume: str | None, **options: Any) -> int:
    """Read points from FILE (`-` = stdin). A line that was written twice does no harm."""
    mark = Path(resume) if resume else None
    skipped = int(mark.read_text() or 0) if mark is not None and mark.exists() else 0
    with make_client(options) as client, _opened(file, "r") as source:
        count = _import(client, source, form, skipped, mark)
    if mark is not None:
        mark.unlink(missing_ok=True)
    click.echo(f"{count} points", err=True)
    return 0


def _import(client: Client, source: IO[str], form: str, skipped: int, mark: Path | None) -> int:
    """Write what a file holds behind its first lines; return the number of points."""
    count = waiting = 0
    batch: list[Series] = []
    line = skipped
    with click.progressbar(length=_size(source), label="import", file=sys.stderr) as bar:
        for line, one in _read(source, form):
            if line <= skipped:
                continue
            batch.append(one)
            waiting += len(one.points)
            if waiting >= BATCH_POINTS:
                client.write(batch)
                count += waiting
                batch, waiting = [], 0
                _note(mark, line)
                bar.update(max(0, _position(source) - bar.pos))
        if batch:
            client.write(batch)
            _note(mark, line)
    return count + waiting


def _read(source: IO[str], form: str) -> Iterator[tuple[int, Series]]:
    """Yield line numbers and what the lines hold."""
    reader = {"json": _json_lines, "csv": _csv_lines, "opentsdb": _opentsdb_lines}[form]
    number = 0
    try:
        for number, one in enumerate(reader(iter(source.readline, "")), 1):
            yield number, one
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise click.ClickException(f"line {number + 1} is not in the form {form}: {error}") from error


def _json_lines(lines: Iterable[str]) -> Iterator[Series]:
    for line in lines:
        value = json.loads(line)
        yield Series(value["name"], value["tags"], [(int(time), point) for time, point in value["datapoints"]])


def _csv_lines(lines: Iterable[str]) -> Iterator[Series]:
    for name, time, value, tags in csv.reader(lines):
        yield Series(name, json.loads(tags), [(int(time), json.loads(value))])


def _opentsdb_lines(lines: Iterable[str]) -> Iterator[Series]:
    for line in lines:
        words = line.split()
        name, time, value, *tags = words[1:] if words[0] == "put" else words
        time_ms = int(time) * 1000 if abs(int(time)) < SECONDS_BELOW else int(time)
        named = {name: values[-1] for name, values in parse_tags(tuple(tags)).items()}
        yield Series(name, named, [(time_ms, parse_value(value.strip('"')))])


def _note(mark: Path | None, line: int) -> None:
    if mark is not None:
        draft = mark.with_name(mark.name + ".new")
        draft.write_text(str(line))
        draft.replace(mark)


def _opened(file: str, mode: str) -> IO[str]:
    if file == "-":
        return click.open_file("-", mode)
    try:
        if file.endswith(".gz"):
            return cast(IO[str], gzip.open(file, mode + "t", encoding="utf-8", newline=""))
        return open(file, mode, encoding="utf-8", newline="")
    except OSError as error:
        raise click.ClickException(f"{file} cannot be opened: {error.strerror}") from error


def _size(source: IO[str]) -> int:
    """Return the bytes of a plain file; 0 = unknown."""
    path = Path(str(getattr(source, "name", "")))
    return path.stat().st_size if path.is_file() and path.suffix != ".gz" else 0


def _position(source: IO[str]) -> int:
    return source.tell() if _size(source) else 0
