"""Entry point on Elastic Beanstalk: the gateway on the one port that the platform's proxy forwards to.

The platform says the port in PORT (8000 unless set otherwise). The proxy runs on the same machine, so the gateway listens on
all addresses on purpose: like any gateway that others can reach it then asks for access keys. AMDW_ variables win.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from amondawa.cli import command_line


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to start with: those given, and what the platform calls for where they say nothing."""
    defaults = {
        "AMDW_STORE": "dynamodb",
        "AMDW_BIND": "0.0.0.0",  # noqa: S104 - see the module's text
        "AMDW_HTTP": environment.get("PORT") or "8000",
        "AMDW_KAIROSDB": "0",
        "AMDW_OPENTSDB": "0",
        "AMDW_KAIROSDB_TELNET": "0",
        "AMDW_LOG": "json",
    }
    return {**environment, **{name: value for name, value in defaults.items() if not environment.get(name)}}


if __name__ == "__main__":
    os.environ.update(environment_of(os.environ))
    sys.exit(command_line(["serve"]))
