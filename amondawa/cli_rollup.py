"""`amondawa rollup-blocks`: the points of finished blocks put together by intervals. See docs/rollup-blocks.md."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from amondawa.cli_schema import ABORTED, confirmed, place_of, store_options
from amondawa.errors import ConfigError
from amondawa.settings import Settings
from amondawa.store.configuration import configured_settings
from amondawa.store.rollup_rules import DROP_RAW, RollupRule, RollupRules

if TYPE_CHECKING:
    from amondawa.gateway import Gateway
    from amondawa.ingest.rollup import RollupReport, Step

WAIT_S = 5.0
"""how often it is looked whether blocks that wait for the other gateways can be begun"""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@click.command("rollup-blocks")
@click.option(
    "--rule", "rules", multiple=True, metavar="PATTERN=AGE:INTERVAL", help="As often as needed.  [AMDW_ROLLUP]"
)
@click.option("--drop-raw", is_flag=True, help="Remove the points that are put together, whatever the rules say.")
@click.option("--dry-run", is_flag=True, help="Change nothing, show what would be done.")
@click.option("--again", is_flag=True, help="Look through blocks that were rolled up before, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def rollup_blocks(
    rules: tuple[str, ...], drop_raw: bool, dry_run: bool, again: bool, yes: bool, **options: object
) -> int:
    """Roll up blocks that have ended for as long as the rules say; points that come late join at the next time.

    A rule such as `web.*=30d:1m` keeps count, sum, least, most, first and last value of each minute of the metrics that
    begin with `web.`, once their block has ended 30 days ago. With `:drop-raw` behind it the points themselves go.
    """
    settings = configured_settings(options, os.environ)
    wanted = _wanted(settings, rules, drop_raw=drop_raw)
    if any(rule.drop_raw for rule in wanted.rules) and not dry_run:
        click.echo(
            f"The points of old blocks in {place_of(settings)} will be REMOVED where these rules put them together:"
        )
        click.echo("".join(f"  {rule}\n" for rule in wanted.rules if rule.drop_raw), nl=False)
        if not confirmed("Roll them up?", yes):
            return ABORTED
    report = asyncio.run(_roll_up(settings, wanted, dry_run=dry_run, again=again))
    click.echo("\n".join(_told(report, dry_run=dry_run)))
    return 1 if report.failed else 0


def _wanted(settings: Settings, rules: tuple[str, ...], *, drop_raw: bool) -> RollupRules:
    """Return the rules of the options, or else of the settings.

    Raises:
        ConfigError: there are none, or one is not right.
    """
    found = RollupRules.parse(",".join(rules) or settings.rollup, settings.store_column_height_s)
    if not found:
        raise ConfigError(f"there is no rule: give --rule 'PATTERN=AGE:INTERVAL[:{DROP_RAW}]', or set AMDW_ROLLUP")
    if not drop_raw:
        return found
    return RollupRules([RollupRule(rule.pattern, rule.older_s, rule.step_s, drop_raw=True) for rule in found.rules])


async def _roll_up(settings: Settings, rules: RollupRules, *, dry_run: bool, again: bool) -> RollupReport:
    """Start a gateway without ports over the store, and have it roll up."""
    from amondawa.gateway import Gateway
    from amondawa.store.open import open_store
    from amondawa.telemetry import configure_logs

    configure_logs(settings.log)
    if settings.store == "memory":
        raise ConfigError("the store `memory` lives in the gateway's process: it has no blocks to roll up from outside")
    own = settings.gateway_id or f"{socket.gethostname()}-rollup-blocks"
    quiet = replace(settings, rollup="", gateway_id=own)
    gateway = await Gateway.start(quiet, open_store(quiet))
    try:
        with click.progressbar(length=1_000, label="roll-up", file=sys.stderr) as bar:
            return await _all_blocks(gateway, rules, _shown(bar), dry_run=dry_run, again=again)
    finally:
        await gateway.stop()


async def _all_blocks(
    gateway: Gateway, rules: RollupRules, progress: Callable[[Step], None], *, dry_run: bool, again: bool
) -> RollupReport:
    """Roll up until no block waits for the other gateways to know of it."""
    report = await gateway.roll_up(rules, progress, dry_run=dry_run, again=again)
    while report.waiting:
        click.echo(f"{len(report.waiting)} blocks wait until every gateway knows (up to 3 minutes)", err=True)
        await asyncio.sleep(WAIT_S)
        more = await gateway.roll_up(rules, progress)
        report.take_in(more)
    return report


def _shown(bar: Any) -> Callable[[Step], None]:
    """Return what moves a bar: a round a block, for how many blocks there are is seen only as it goes."""
    at = [""]

    def show(step: Step) -> None:
        if step.block != at[0]:
            at[0] = step.block
            bar.label = f"roll-up of block {step.block}"
            bar.update(-bar.pos)
        share = bar.length * step.done // step.metrics if step.metrics else 0
        bar.update(max(0, share - bar.pos))

    return show


def _told(report: RollupReport, *, dry_run: bool) -> list[str]:
    """Return what was done, or would be, in lines."""
    verb = "would be rolled up" if dry_run else "rolled up"
    lines = [
        f"{len(report.blocks)} blocks looked through, {report.rows} rows, {report.rolled} {verb}",
        f"points {report.points_before} -> {report.points_after}",
        f"bytes  {_size(report.bytes_before)} -> {_size(report.bytes_after)}",
    ]
    if report.rolled < report.rows:
        lines.append("the other rows are rolled up already, or would not take less room")
    if report.failed:
        lines.append(f"{report.failed} rows cannot be read and were left as they are (see the log)")
    return lines


def _size(count: float) -> str:
    """Return a number of bytes in words."""
    unit = 0
    while count >= 10_240 and unit < len(_UNITS) - 1:
        count /= 1_024
        unit += 1
    return f"{count:,.0f} {_UNITS[unit]}"
