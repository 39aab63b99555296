"""`amondawa serve`: run the gateway."""

from __future__ import annotations

import os

import click

from amondawa.store.configuration import configured_settings


@click.command(epilog="Every setting is also an environment variable; `amondawa settings` lists them all.")
@click.option("--data", metavar="DIR", help="Directory of the embedded store.  [./data; AMDW_DATA]")
@click.option("--bind", metavar="ADDR", help="Address to listen on.  [127.0.0.1; AMDW_BIND]")
@click.option("--http", "http_port", metavar="PORT", help="All dialects, health, metrics.  [5000; AMDW_HTTP]")
@click.option("--kairosdb", "kairosdb_port", metavar="PORT", help="KairosDB.  [8080; AMDW_KAIROSDB]")
@click.option("--opentsdb", "opentsdb_port", metavar="PORT", help="OpenTSDB, HTTP and telnet.  [4242; AMDW_OPENTSDB]")
@click.option("--kairosdb-telnet", "kairosdb_telnet_port", metavar="PORT", help="[4243; AMDW_KAIROSDB_TELNET]")
@click.option("--store", metavar="NAME", help="sqlite, dynamodb or memory.  [sqlite; AMDW_STORE]")
@click.option("--allow-anonymous", metavar="DOMAIN:rw", help="Let anyone use a domain.  [AMDW_ALLOW_ANONYMOUS]")
@click.option("--tls-cert", metavar="FILE", help="Speak TLS on every port, with this certificate.  [AMDW_TLS_CERT]")
@click.option("--tls-key", metavar="FILE", help="The certificate's key.  [AMDW_TLS_KEY]")
@click.option("--log", metavar="FORM", help="json, console or auto.  [auto; AMDW_LOG]")
def serve(**options: object) -> None:
    """Run the gateway until SIGTERM or SIGINT. A port of 0 is turned off."""
    settings = configured_settings(options, os.environ)
    # The server's parts take a second to import; a wrong option is told without them.
    from amondawa import app
    from amondawa.telemetry import configure_logs

    configure_logs(settings.log)
    app.run(settings, click.echo)
