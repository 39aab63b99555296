"""Points as Parquet files, by pyarrow: a row a point, in row groups.

Columns: name (text), tags (map of texts), time (ms since 1970 UTC), and long (int64), double (float64) and text, of which one
has the value and the others are null.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from amondawa.client.forms import Record, plain_tags, type_of
from amondawa.client.requests import ClientError, Series, Stream

GROUP_POINTS = 100_000
BATCH_POINTS = 10_000
_COLUMNS = {"long": "long", "double": "double", "string": "text"}


def _pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its parquet module. Raises ClientError, in one line, when it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ClientError("Parquet needs pyarrow, which is not installed: pip install 'amondawa[parquet]'") from error
    return pyarrow, pyarrow.parquet


class ParquetSink:
    """Writes results to a file; use it as a context manager.

    Args:
        out: open for writing in binary.
    """

    def __init__(self, out: IO[bytes]) -> None:
        arrow, parquet = _pyarrow()
        text = arrow.string()
        self._schema = arrow.schema(
            [
                ("name", text),
                ("tags", arrow.map_(text, text)),
                ("time", arrow.timestamp("ms", tz="UTC")),
                ("long", arrow.int64()),
                ("double", arrow.float64()),
                ("text", text),
            ]
        )
        self._arrow = arrow
        self._writer = parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> ParquetSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def write(self, stream: Stream) -> None:
        """Write one series' points."""
        tags = sorted(plain_tags(stream).items())
        for time_ms, value in stream.values:
            self._rows.append({"name": stream.name, "tags": tags, "time": time_ms, _COLUMNS[type_of(value)]: value})
            if len(self._rows) >= GROUP_POINTS:
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def read_parquet(path: Path) -> Iterator[Record]:
    """Yield the points of a file, a record a row. Raises ClientError when it is not of this form."""
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as source:
            row = 0
            for batch in source.iter_batches(BATCH_POINTS):
                times = batch.column("time").cast(arrow.timestamp("ms")).cast(arrow.int64())
                columns = [batch.column(name).to_pylist() for name in ("name", "tags", "long", "double", "text")]
                for time_ms, *values in zip(times.to_pylist(), *columns, strict=True):
                    row += 1
                    yield _record(row, time_ms, *values)
    except (arrow.ArrowException, KeyError, OSError) as error:
        raise ClientError(f"{path} cannot be read as Parquet with points: {error}") from error


def _record(row: int, time_ms: int | None, name: str | None, tags: Any, *values: Any) -> Record:
    given = [value for value in values if value is not None]
    if not name or time_ms is None or len(given) != 1:
        return Record(row, [], "it has not a name, a time and one value")
    return Record(row, [Series(name, dict(tags or ()), [(time_ms, given[0])])])
