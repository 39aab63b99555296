"""opentsdb-client: 150 gzipped points by HTTP, as many by telnet, a counter and a gauge; prints its statuses as JSON."""

import json
import sys

from opentsdb import Counter, Gauge, TSDBClient, TSDBConnectProtocols

START_S = 1_700_000_000


def main() -> None:
    """Send to the host and port given."""
    host, port = sys.argv[1], int(sys.argv[2])
    statuses = {}
    for name, protocol in (("http", TSDBConnectProtocols.HTTP), ("telnet", TSDBConnectProtocols.TELNET)):
        client = TSDBClient(host, port=port, protocol=protocol, static_tags={"dc": "eu"})
        for step in range(150):
            client.send(f"tsdbclient.{name}", step * 0.25, timestamp=START_S + step, host="db01")
        counter = Counter(f"tsdbclient.{name}.jobs", ["queue"], client)
        for _ in range(3):
            counter.tags("mail").inc()
        Gauge(f"tsdbclient.{name}.depth", ["queue"], client).tags("mail").set(9)
        client.close()
        client.wait()
        statuses[name] = dict(client.statuses)
    print(json.dumps(statuses))


main()
