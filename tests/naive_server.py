"""Serve dialects over the naive gateway, to try a protocol without an engine.

python -m tests.naive_server --kairosdb 18080 --opentsdb 14242 --kairosdb-telnet 14243 [--seconds 600]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os

from aiohttp import web

from amondawa.protocols.base import Scope
from amondawa.settings import Settings
from tests.naive import NaiveGateway


async def serve(arguments: argparse.Namespace) -> None:
    settings = Settings(
        opentsdb_allow_delete=True,
        opentsdb_cors_domains="http://app.example.com,http://other.example.com",
        opentsdb_histograms="42:SimpleHistogramDecoder",
    )
    scope = Scope(NaiveGateway(), settings)
    for name, port in (("kairosdb", arguments.kairosdb), ("opentsdb", arguments.opentsdb)):
        if port:
            routes = importlib.import_module(f"amondawa.protocols.{name}.routes")
            runner = web.AppRunner(routes.application(scope), auto_decompress=False, max_line_size=1 << 20)
            await runner.setup()
            if name == "opentsdb":
                switch = importlib.import_module("amondawa.listeners.port_switch")
                telnet = importlib.import_module("amondawa.protocols.opentsdb.telnet")
                await switch.serve_switched("127.0.0.1", port, runner.server, lambda t=telnet: t.session(scope))
            else:
                await web.TCPSite(runner, "127.0.0.1", port).start()
    if arguments.kairosdb_telnet:
        lines = importlib.import_module("amondawa.listeners.telnet")
        telnet = importlib.import_module("amondawa.protocols.kairosdb.telnet")
        await lines.serve_lines("127.0.0.1", arguments.kairosdb_telnet, lambda: telnet.session(scope))
    await asyncio.sleep(arguments.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kairosdb", type=int, default=0)
    parser.add_argument("--opentsdb", type=int, default=0)
    parser.add_argument("--kairosdb-telnet", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600)
    os.environ.setdefault("PYTHONWARNINGS", "default")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
