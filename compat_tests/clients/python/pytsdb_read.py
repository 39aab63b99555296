"""pytsdb: reads a metric with fractions in its times and empty braces; prints what it saw as JSON."""

import json
import sys
from datetime import UTC, datetime

import pytsdb

START_S = 1_700_000_000


def main() -> None:
    """Ask the host and port given."""
    connection = pytsdb.connect(sys.argv[1], int(sys.argv[2]), timeout=10)
    start, end = (datetime.fromtimestamp(at, UTC) for at in (START_S, START_S + 60))
    seen = {
        "all": connection.fetch_sorted_metric("pytsdb.load", start, end),
        "one": connection.fetch_sorted_metric("pytsdb.load", start, end, tags={"host": "web01"}, ms_resolution=False),
        "down": connection.fetch_sorted_metric("pytsdb.load", start, end, aggregator="max", downsample="10s"),
    }
    try:
        connection.fetch_metric("pytsdb.unknown", start, end)
    except pytsdb.QueryError as error:
        seen["refused"] = error.args[0]["error"]["code"]
    print(json.dumps(seen))


main()
