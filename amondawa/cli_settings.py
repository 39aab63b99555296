"""`amondawa settings`: what is in force here."""

from __future__ import annotations

import os
from dataclasses import fields

import click

from amondawa.cli_schema import store_options
from amondawa.settings import STORE_DEFAULTS, Settings, variable_of
from amondawa.store.configuration import configured_settings


@click.command()
@store_options
def settings(**options: object) -> None:
    """Print every setting's environment variable with the value in force, stored configuration included; `#` = default."""
    in_force = configured_settings(options, os.environ)
    own = STORE_DEFAULTS.get(in_force.store, {})
    for field in fields(Settings):
        value = getattr(in_force, field.name)
        mark = "#" if value == own.get(field.name, field.default) else " "
        text = str(value).lower() if isinstance(value, bool) else str(value)
        click.echo(f"{mark} {variable_of(field.name)}={text}")
