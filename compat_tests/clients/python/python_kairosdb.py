"""python-kairosdb's HTTP client, with the body that each of its requests has; prints what it saw as JSON.

Its package does not compile on Python 3.6 and later (a `global` after use in `__init__`), so its client module is
imported by itself and called as `KairosDBAPI` would.
"""

import importlib
import json
import sys
from pathlib import Path

START_MS = 1_700_000_000_000

found = next(path for path in sys.path if (Path(path) / "kairosdb" / "client.py").exists())
sys.path.insert(0, str(Path(found) / "kairosdb"))
client = importlib.import_module("client")


def main() -> None:
    """Ask, then delete at the server whose address is given."""
    api = client.KairosDBAPIClient(sys.argv[1] + "/api/v1")
    metric = {"name": "pykairos.load", "tags": {"host": ["web01"]}}
    query = {"start_absolute": START_MS, "end_absolute": START_MS + 60_000, "metrics": [metric]}
    half = {"start_absolute": START_MS, "end_absolute": START_MS + 29_999, "metrics": [metric]}
    seen = {
        "version": api.get("version")["version"],
        "check": api.get("health/check")["return_code"],
        "names": api.get("metricnames")["results"],
        "tagnames": api.get("tagnames")["return_code"],
        "values": api.post("datapoints/query", data=query)["queries"][0]["results"][0]["values"],
        "deleted": api.post("datapoints/delete", data=half)["return_code"],
        "left": api.post("datapoints/query", data=query)["queries"][0]["results"][0]["values"],
        "dropped": api.delete("metric/pykairos.other")["return_code"],
    }
    print(json.dumps(seen))


main()
