"""pyopentsdb: puts, queries, names, refused requests; prints what it saw as JSON."""

import json
import sys
from datetime import UTC, datetime

from pyopentsdb import errors, tsdb

START_S = 1_700_000_000


def main() -> None:
    """Write to and ask the server whose address is given."""
    client = tsdb.TsdbConnector(sys.argv[1])
    points = [
        {"metric": "pyopentsdb.load", "timestamp": START_S + step, "value": step + 1, "tags": {"host": host}}
        for step in range(60)
        for host in ("web01", "web02")
    ]
    seen = {"put": client.put(points)}
    start, end = (datetime.fromtimestamp(at, UTC) for at in (START_S, START_S + 60))
    metric = {"metric": "pyopentsdb.load", "aggregator": "sum", "tags": {"host": "web01"}}
    seen["values"] = client.query(start=start, end=end, metrics=[metric])[0]["dps"]
    chunks = [{"start": start, "end": end, "metrics": [metric]} for _ in range(8)]
    seen["parallel"] = [len(one["dps"]) for one in client.multiquery(chunks)]
    seen["suggested"] = client.suggest(type="metrics", q="pyopentsdb", max=5)
    seen["metrics"] = client.metrics(regexp="^pyopentsdb")
    seen["aggregators"] = client.aggregators()
    seen["version"] = client.version()["version"]
    seen["filters"] = sorted(client.filters())
    seen["config"] = len(client.config())
    seen["stats"] = len(client.stats())
    try:
        client.query(start=start, end=end, metrics=[{**metric, "metric": "pyopentsdb.unknown"}])
    except errors.ArgumentError as error:
        seen["refused"] = str(error)
    print(json.dumps(seen))


main()
