"""The policy in docs/iam.md allows the calls that the engine makes, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amondawa.gateway import Gateway
from amondawa.model.points import Kind, WriteBatch
from amondawa.model.query import Query, Selection
from amondawa.settings import Settings
from amondawa.store.configuration import write_configuration
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "iam.md").read_text()
PERMISSION = {"execute_statement": "PartiQLSelect"}
"""Calls whose permission has another name."""


def calls() -> set[str]:
    """Return the calls of boto3's client that the engine's sources name."""
    source = "".join(path.read_text() for path in (ROOT / "amondawa" / "store" / "dynamodb").glob("*.py"))
    return set(re.findall(r"client\.([a-z_]+)", source)) - {"close"}


def policy() -> list[dict[str, object]]:
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    statements: list[dict[str, object]] = json.loads(found[1])["Statement"]
    return statements


def test_the_policy_allows_exactly_what_the_engine_calls() -> None:
    allowed: set[str] = set()
    for statement in policy():
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)  # type: ignore[call-overload]
    named = {PERMISSION.get(call) or "".join(word.title() for word in call.split("_")) for call in calls()}
    assert allowed == {f"dynamodb:{name}" for name in named}


def test_nothing_but_listing_reaches_beyond_the_table_space() -> None:
    for statement in policy():
        assert statement["Effect"] == "Allow"
        assert (statement["Resource"] == "*") == (statement["Action"] == "dynamodb:ListTables")
        assert statement["Resource"] == "*" or str(statement["Resource"]).endswith("table/amdw_*")


# what a gateway's life calls, as the service sees it ------------------------------------------------------------------

DAY_S = 86_400
NOW_S = 1_700_000_000 // DAY_S * DAY_S


def point(gateway: Gateway, series: int, time_ms: int) -> WriteBatch:
    ref = gateway.resolve("d", "m", (("host", str(series)),))
    return WriteBatch(
        np.array([ref], np.int32),
        np.array([time_ms], np.int64),
        np.array([Kind.LONG], np.uint8),
        np.array([7], np.int64),
    )


class Recorder:
    """A client of the service that notes which calls are made."""

    def __init__(self, client: Any, called: set[str]) -> None:
        self._client = client
        self._called = called

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if callable(found) and not name.startswith("_"):
            self._called.add(name)
        return found


async def live(fake: StrictFake, called: set[str], now_s: list[int]) -> None:
    """Live a gateway's life: blocks come, are turned down and go; points are written, read and deleted."""
    settings = Settings(
        store="dynamodb",
        store_column_height_s=3_600,
        store_history_s=3 * DAY_S,
        store_history_blocks=3,
        tp_write_datapoints=10,
        tp_read_datapoints=10,
        tp_write_index_key=10,
        tp_read_index_key=10,
    )
    for _ in range(2):  # the second time the journal and the tables of the first are there
        store = DynamoStore(lambda: Recorder(fake.client(), called), "amdw", "one", Options(4, 4, QUICK))
        store.open()
        gateway = await Gateway.start(settings, store, lambda: now_s[0] * 1_000)
        for series in range(30):
            await gateway.write(point(gateway, series, now_s[0] * 1_000))
        assert await gateway.query([Query(Selection("d", "m"), 0, 2**60)], len) == 1
        await gateway.flush()
        assert await gateway.query([Query(Selection("d", "m"), 0, 2**60)], len) == 1
        await gateway.put_document("d", "c", "k", b"v")
        await gateway.delete(Selection("d", "m"), now_s[0] * 1_000, now_s[0] * 1_000)
        for _ in range(8):
            now_s[0] += DAY_S // 2
            await gateway.maintain()
        await gateway.write(point(gateway, 0, now_s[0] * 1_000))
        await gateway.stop()


CONFIGURING = {
    *("batch_get_item", "batch_write_item", "put_item", "query", "execute_statement"),
    *("create_table", "describe_table", "describe_time_to_live", "update_time_to_live", "list_tables", "close"),
}
"""what docs/iam.md says that `bin/configure` and `bin/ac` need"""


def configure(fake: StrictFake) -> set[str]:
    """Do what `bin/configure` does; return what it calls."""
    called: set[str] = set()
    store = DynamoStore(lambda: Recorder(fake.client(), called), "amdw", "one", Options(4, 4, QUICK, tables_only=True))
    store.open()
    write_configuration(store, {"mt_readers": 5})
    store.close()
    return called


@pytest.mark.parametrize("page", ["iam.md", "dynamodb.md"])
async def test_a_gateways_life_calls_everything_that_the_policy_allows_and_nothing_else(page: str) -> None:
    now_s = [NOW_S]
    fake = StrictFake(clock_s=lambda: float(now_s[0]))
    called: set[str] = set()
    await live(fake, called, now_s)
    configuring = configure(fake)
    assert configuring <= CONFIGURING
    called |= configuring  # a gateway reads the configuration in the same way when it starts
    found = re.search(r"```json\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert found is not None
    allowed: set[str] = set()
    for statement in json.loads(found[1])["Statement"]:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else set(actions)
    named = {PERMISSION.get(call, "".join(map(str.title, call.split("_")))) for call in called - {"close"}}
    assert {f"dynamodb:{name}" for name in named} == allowed
