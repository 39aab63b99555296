"""How soon other gateways answer with what one acknowledged: three real processes on the strict fake of DynamoDB.

python bench/several_gateways.py [--points 100]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.figures import Figure, table
from compat_tests.process import ServerProcess
from compat_tests.strict_fake_process import strict_fake_process
from compat_tests.wire import call, stored

GATEWAYS = 3
POLL_S = 0.02


def measure(points: int) -> list[Figure]:
    """Write single points through one gateway and ask another until it has them."""
    with strict_fake_process() as fake, tempfile.TemporaryDirectory() as directory:
        servers = [
            ServerProcess(Path(directory) / f"g{n}", {**fake.settings, "AMDW_GATEWAY_ID": f"g{n}"})
            for n in range(GATEWAYS)
        ]
        try:
            for server in servers:
                server.start()
            for server in servers:
                server.wait_ready()
            lags_ms = sorted(_lag_ms(*random.sample(servers, 2), number) for number in range(points))
        finally:
            for server in servers:
                server.stop()
    return [
        Figure("other gateway answers after the acknowledgement: median", lags_ms[len(lags_ms) // 2], "ms"),
        Figure("other gateway answers after the acknowledgement: p99", lags_ms[len(lags_ms) * 99 // 100], "ms", 1_000),
        Figure("other gateway answers after the acknowledgement: longest", lags_ms[-1], "ms"),
    ]


def _lag_ms(writer: ServerProcess, reader: ServerProcess, number: int) -> float:
    """Write a point through one gateway; return how long after that the other has it (ms)."""
    time.sleep(random.uniform(0.0, 1.0))
    point = [1_700_000_000_000 + number, number]
    metric = f"lag{number}"
    body = {"name": metric, "tags": {"host": "a"}, "datapoints": [point]}
    assert call(writer.kairosdb, "POST", "/api/v1/datapoints", body).status == 204
    began = time.monotonic()
    while stored(reader, metric) != [point]:
        time.sleep(POLL_S)
    return (time.monotonic() - began) * 1_000


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=100)
    print(table(measure(parser.parse_args().points)))


if __name__ == "__main__":
    main()
