"""`amondawa configure`, `create_schema` and `delete_schema`: the first version's commands, with its prompts."""

from __future__ import annotations

import os
import pprint
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from amondawa.errors import ConfigError
from amondawa.settings import Settings, read_settings
from amondawa.store.base import BlockStore
from amondawa.store.configuration import configured_settings, load_file, settings_values, write_configuration
from amondawa.store.open import open_store, open_tables
from amondawa.store.schema import is_own_table

Command = TypeVar("Command", bound=Callable[..., Any])
ABORTED = 1
"""exit status when what was asked was not confirmed"""


def store_options(command: Command) -> Command:
    """Give a command the options of `serve` that say where the store is; AMDW_ variables say the same."""
    command = click.option("--data", metavar="DIR", help="Directory of the embedded store.  [./data; AMDW_DATA]")(
        command
    )
    return click.option("--store", metavar="NAME", help="sqlite or dynamodb.  [sqlite; AMDW_STORE]")(command)


def place_of(settings: Settings) -> str:
    """Return where a store is, in words."""
    if settings.store == "sqlite":
        return f"directory {settings.data}"
    return f"table space {settings.table_space} in {settings.dynamodb_endpoint or settings.region}"


def confirmed(question: str, yes: bool) -> bool:
    """Ask for a `Y`, which is all that counts as consent; `yes` = it was given already."""
    if yes:
        return True
    click.echo(f"{question} Y/[N]:")
    if sys.stdin.readline().strip() == "Y":
        return True
    click.echo('Aborted: (choose "Y" to confirm).')
    return False


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def configure(file: Path, yes: bool, **options: object) -> int:
    """Store the dictionary `configuration` of a Python file; gateways use it from their next start."""
    settings = read_settings(options, os.environ)
    configuration = load_file(file)
    read_settings(options, os.environ, settings_values(configuration))
    click.echo(pprint.pformat(configuration, sort_dicts=False))
    if not confirmed(f"overwrite Amondawa {place_of(settings)} configuration using above configuration?", yes):
        return ABORTED
    store = open_tables(settings)
    try:
        write_configuration(store, configuration)
    finally:
        store.close()
    click.echo("Configuration written.")
    return 0


@click.command(name="create_schema")
@store_options
def create_schema(**options: object) -> None:
    """Create the tables of a store: those of the stored configuration's first block, or of the default's."""
    from amondawa.ingest.maintenance import create_tables

    settings = configured_settings(options, os.environ)
    store = _open_shared(settings)
    try:
        before = set(store.tables())
        create_tables(settings, store, int(time.time()))
        for table in filter(is_own_table, store.tables()):
            click.echo(f"{table}  {'there already' if table in before else 'created'}")
    finally:
        store.close()
    click.echo(f"Schema is ready in {place_of(settings)}.")


@click.command(name="delete_schema")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def delete_schema(yes: bool, **options: object) -> int:
    """Delete all tables of a store with everything in them: data points, access keys, configuration."""
    settings = read_settings(options, os.environ)
    store = _open_shared(settings)
    try:
        user = store.used_by()
        if user:
            raise ConfigError(f"the gateway {user!r} uses {place_of(settings)}: stop all gateways first")
        tables = list(filter(is_own_table, store.tables()))
        click.echo(f"This operation will delete the Amondawa schema and all the DATA in {place_of(settings)}:")
        click.echo("".join(f"  {table}\n" for table in tables) or "  (no tables)\n", nl=False)
        if not confirmed("Delete all of it?", yes):
            return ABORTED
        store.delete_everything()
    finally:
        store.close()
    click.echo("Schema and data deleted.")
    return 0


def _open_shared(settings: Settings) -> BlockStore:
    """Open a store that outlives this process. Raises ConfigError for one that does not, or is in use."""
    if settings.store == "memory":
        raise ConfigError("the store `memory` lives in the gateway's process: it has no schema to create or delete")
    return open_store(settings)
