"""kairosdb-python: health, features, names and a query; prints what it saw as JSON."""

import json
import sys

from kairosdb import KairosDB

START_MS = 1_700_000_000_000


def main() -> None:
    """Ask the server whose address is given."""
    client = KairosDB(sys.argv[1], check_health=True)
    query = {"start_absolute": START_MS, "end_absolute": START_MS + 60_000, "metrics": [{"name": "pykairos.load"}]}
    seen = {
        "health": client.check_health_status(),
        "aggregators": [one["name"] for one in client.features("aggregators")],
        "features": [one["name"] for one in client.features()],
        "names": client.get_metric_names(prefix="pykairos.")["results"],
        "values": client.query(query)["queries"][0]["results"][0]["values"],
    }
    print(json.dumps(seen))


main()
