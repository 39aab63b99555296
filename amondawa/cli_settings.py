"""`amondawa settings`: what is in force here."""

from __future__ import annotations

import os
from dataclasses import fields

import click

from amondawa.settings import Settings, variable_of
from amondawa.store.configuration import configured_settings


@click.command()
def settings() -> None:
    """Print every setting's environment variable with the value in force, stored configuration included; `#` = default."""
    in_force = configured_settings({}, os.environ)
    for field in fields(Settings):
        value = getattr(in_force, field.name)
        mark = "#" if value == field.default else " "
        text = str(value).lower() if isinstance(value, bool) else str(value)
        click.echo(f"{mark} {variable_of(field.name)}={text}")
