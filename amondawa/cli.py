"""The commands of `amondawa`. A wrong option, variable or setting is one line on stderr and status 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from amondawa import __version__
from amondawa.cli_access import ac
from amondawa.cli_client import names, query, write
from amondawa.cli_load import load
from amondawa.cli_package import package
from amondawa.cli_rollup import rollup_blocks
from amondawa.cli_schema import configure, create_schema, delete_schema
from amondawa.cli_serve import serve
from amondawa.cli_settings import settings
from amondawa.cli_transfer import export_points, import_points
from amondawa.errors import AmondawaError, ConfigError

WRONG_USE = 2
FAILED = 1
INTERRUPTED = 130
"""as shells report a command that Ctrl-C ended"""


class _ServesByDefault(click.Group):
    """Takes `amondawa --http 5001` for `amondawa serve --http 5001`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` in front of options that are not the group's own."""
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ServesByDefault, context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, prog_name="amondawa", message="%(prog)s %(version)s")
def amondawa() -> None:
    """Amondawa, a time series gateway that answers as KairosDB and as OpenTSDB."""


amondawa.add_command(ac)
amondawa.add_command(serve)
amondawa.add_command(settings)
for command in (
    configure,
    create_schema,
    delete_schema,
    package,
    rollup_blocks,
    write,
    query,
    names,
    load,
    export_points,
    import_points,
):
    amondawa.add_command(command)


def command_line(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status: 0 done, 1 failed, 2 wrong use or wrong setting, 130 interrupted."""
    try:
        outcome: Any = amondawa.main(list(arguments), prog_name="amondawa", standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message(), WRONG_USE)
    except ConfigError as error:
        return _fail(str(error), WRONG_USE)
    except AmondawaError as error:
        return _fail(str(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has enough: nothing to flush
        return FAILED
    return outcome if isinstance(outcome, int) else 0


def _fail(text: str, status: int) -> int:
    """Say in one line why the command ends."""
    sys.stderr.write("amondawa: " + " ".join(text.split()) + "\n")
    sys.stderr.flush()
    return status
