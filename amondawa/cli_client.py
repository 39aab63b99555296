"""`amondawa write`, `query` and `names`: a gateway's data for people."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amondawa.client.forms import parse_value
from amondawa.client.requests import ClientError, Query, Series
from amondawa.client.synchronous import Client

if TYPE_CHECKING:
    import pandas as pd

F = TypeVar("F", bound=Callable[..., Any])

BATCH_POINTS = 10_000
COLORS = 10
LINE_STYLES = ("-", "--", ":", "-.")
"""what tells lines apart that have the same color"""
MARKED_POINTS = 200
"""a line of so many points shows each of them: one that stands alone would not be seen"""
NAMED_LINES = 40
"""lines that a drawing names"""


def client_options(command: F) -> F:
    """Give a command the options that say where the gateway is and who asks."""
    for option in (
        click.option("--region", default="us-west-2", help="The gateway's, for signatures.  [us-west-2]"),
        click.option("--secret", default="", envvar="AMDW_SECRET", help="The key's secret.  [none; AMDW_SECRET]"),
        click.option("--key", default="", envvar="AMDW_KEY", help="Access key.  [none; AMDW_KEY]"),
        click.option(
            "--domain", default="default", envvar="AMDW_DOMAIN", help="Domain to work on.  [default; AMDW_DOMAIN]"
        ),
        click.option(
            "--url",
            default="http://127.0.0.1:5000",
            envvar="AMDW_URL",
            help="The gateway's common port.  [http://127.0.0.1:5000; AMDW_URL]",
        ),
    ):
        command = option(command)
    return command


def make_client(options: dict[str, Any]) -> Client:
    """Return a client by the options of `client_options`, which are taken from `options`."""
    return Client(*(options.pop(name) for name in ("url", "domain", "key", "secret", "region")))


def parse_tags(texts: tuple[str, ...]) -> dict[str, list[str]]:
    """Return tags of `name=value` texts, with all values of each. Raises click.UsageError."""
    tags: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise click.UsageError(f"{text!r} is not NAME=VALUE")
        tags.setdefault(name, []).append(value)
    return tags


def complain(text: str) -> None:
    """Say something in one line on stderr."""
    click.echo("amondawa: " + " ".join(text.split()), err=True)


@click.command()
@client_options
@click.argument("metric")
@click.argument("value", required=False)
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="As often as needed.")
@click.option("--time", "time_ms", type=int, metavar="MS", help="In ms since 1970 UTC.  [now]")
def write(metric: str, value: str | None, tags: tuple[str, ...], time_ms: int | None, **options: Any) -> int:
    """Write VALUE of METRIC; with METRIC `-` write lines of stdin: METRIC TIME_MS VALUE NAME=VALUE …"""
    with make_client(options) as client:
        if metric == "-":
            return _write_lines(client)
        if value is None:
            raise click.UsageError("give the value to write")
        named = {name: values[-1] for name, values in parse_tags(tags).items()}
        at_ms = time.time_ns() // 1_000_000 if time_ms is None else time_ms
        try:
            points = [(at_ms, parse_value(value))]
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        client.write([Series(metric, named, points)])
    return 0


def _write_lines(client: Client) -> int:
    count = 0
    batch: list[Series] = []
    for one in _read_lines():
        batch.append(one)
        count += 1
        if len(batch) >= BATCH_POINTS:
            client.write(batch)
            batch = []
    if batch:
        client.write(batch)
    click.echo(f"{count} points written", err=True)
    return 0


def _read_lines() -> Iterator[Series]:
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            words = line.decode().split()
        except UnicodeDecodeError as error:
            raise click.UsageError(f"line {number} is not UTF-8") from error
        if not words:
            continue
        if len(words) < 3 or not words[1].lstrip("-").isdigit():
            raise click.UsageError(f"line {number} is not METRIC TIME_MS VALUE NAME=VALUE …")
        tags = {name: values[-1] for name, values in parse_tags(tuple(words[3:])).items()}
        try:
            yield Series(words[0], tags, [(int(words[1]), parse_value(words[2]))])
        except ValueError as error:
            raise click.UsageError(f"line {number}: {error}") from error


@click.command()
@client_options
@click.argument("metric")
@click.option("--start", default="1h", help="1h (before now), 2026-11-23T12:00 (UTC), or ms since 1970 UTC.  [1h]")
@click.option("--end", help="The same.  [now]")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="As often as needed; any value of one name.")
@click.option("--downsample", default="", metavar="avg:1m", help="Within each series: a function and a span of time.")
@click.option("--aggregate", default="", metavar="sum", help="Across all series: a function.")
@click.option("--limit", default=0, help="First points of each result; 0 = all.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", help="[table]")
@click.option(
    "--plot", type=click.Path(dir_okay=False, writable=True), metavar="FILE.png", help="Draw the numbers, too."
)
def query(metric: str, tags: tuple[str, ...], form: str, plot: str | None, **options: Any) -> int:
    """Read METRIC: a column for every series, or one for all of them with --aggregate."""
    from amondawa.client.frames import frame_of

    with make_client(options) as client:
        asked = Query(metric, tags=parse_tags(tags), **options)
        try:
            asked.body()
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        streams = client.streams(asked)
    if form == "json":
        click.echo("".join(json.dumps(stream._asdict()) + "\n" for stream in streams), nl=False)
    else:
        click.echo(_text(frame_of(streams), form), nl=form == "table")
    if plot:
        _draw(frame_of(streams), metric, plot)
    return 0


def _text(frame: pd.DataFrame, form: str) -> str:
    if form == "csv":
        return str(frame.to_csv(index_label="time", date_format="%Y-%m-%dT%H:%M:%S.%fZ"))
    return "no points" if frame.empty else str(frame.to_string(na_rep="", index_names=False))


def _draw(frame: pd.DataFrame, title: str, path: str) -> None:
    """Draw the numbers of a frame's columns over time as a PNG."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    from amondawa.client.frames import numbers_of

    columns = numbers_of(frame)
    named = min(len(columns), NAMED_LINES)
    figure = Figure(figsize=(12, 5 + named / 10), layout="constrained")
    axes = figure.subplots()
    for number, (name, column) in enumerate(columns.items()):
        style = LINE_STYLES[number // COLORS % len(LINE_STYLES)]
        marker = "." if len(column) <= MARKED_POINTS else ""
        times, numbers = column.index.to_numpy(), column.to_numpy()
        axes.plot(times, numbers, linestyle=style, marker=marker, label=_literal(name), linewidth=1)
    axes.set_title(_literal(title))
    axes.set_xlabel("UTC")
    axes.grid(True, alpha=0.3)
    if columns:
        axes.xaxis.set_major_locator(dates := AutoDateLocator())
        axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
        figure.legend(handles=axes.lines[:named], loc="outside lower left", fontsize="small", ncols=2)
    if named < len(columns):
        complain(f"{path} names the first {named} of {len(columns)} lines")
    try:
        with warnings.catch_warnings(action="ignore"):  # about letters that no font has
            figure.savefig(path, format="png", dpi=100)
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error.strerror}") from error


def _literal(text: str) -> str:
    """Return a text such that matplotlib takes no part of it for a formula, and no name for a hidden one."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


@click.command()
@client_options
@click.argument("kind", type=click.Choice(["metrics", "tags", "values"]), default="metrics")
@click.option("--prefix", default="", help="Of the metrics' names.")
@click.option("--tag", default="", help="Whose values; none = all.")
def names(kind: str, prefix: str, tag: str, **options: Any) -> int:
    """List the domain's metrics, tag names or tag values, one a line."""
    with make_client(options) as client:
        if kind == "metrics":
            found = client.metric_names(prefix)
        else:
            found = client.tag_names() if kind == "tags" else client.tag_values(tag)
    for one in found:
        click.echo(one)
    return 0
