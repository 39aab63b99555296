"""opentsdb-http-client: one point a request, a connection each, retried until it is taken."""

import sys

from opentsdb_http_client import http_client

START_S = 1_700_000_000


def main() -> None:
    """Send to the host and port given."""
    client = http_client.OpenTSDBClient(sys.argv[1], int(sys.argv[2]), host_tag=True)
    for step in range(30):
        client.put("httpclient.load", step * 1.5, timestamp=START_S + step, host="web01")
    client.wait()


main()
