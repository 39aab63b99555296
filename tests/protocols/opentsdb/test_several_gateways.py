"""Names, ids, trees and descriptions when several gateways share a store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from amondawa.gateway import Gateway
from amondawa.model.series import Series
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb import uid, uid_log
from amondawa.protocols.opentsdb.uid import Uids, uids_of
from amondawa.settings import Settings
from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from tests.protocols.opentsdb.served import SETTINGS, Served, serve
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake


@contextlib.asynccontextmanager
async def started(stores: list[BlockStore]) -> AsyncIterator[list[Gateway]]:
    """Start a gateway on each store."""
    gateways = []
    try:
        for number, store in enumerate(stores):
            store.open()
            gateways.append(await Gateway.start(Settings(gateway_id=f"gateway-{number}"), store))
        yield gateways
    finally:
        for gateway in gateways:
            await gateway.stop()


@pytest.fixture(params=["memory", "dynamodb"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[list[Gateway]]:
    """Two gateways on one store (memory), or on two clients of one table space."""
    store = MemoryStore()
    stores: list[BlockStore] = [store, store]
    if request.param == "dynamodb":
        fake = StrictFake()
        stores = [DynamoStore(fake.client, "amdw", shard, Options(4, 4, QUICK)) for shard in ("one", "two")]
    async with started(stores) as gateways:
        yield gateways


async def uids(gateway: Gateway) -> Uids:
    """Return ids read from the store just now."""
    made = Uids(gateway, "d")
    await made.load()
    return made


async def test_of_two_gateways_that_give_one_id_the_first_in_the_log_keeps_it(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    assert [first.id_of("metric", "a", create=True), second.id_of("metric", "b", create=True)] == [1, 1]
    moves = second.moves
    await first.flush()
    await second.flush()
    assert (second.id_of("metric", "a"), second.id_of("metric", "b")) == (1, 2)
    assert second.moves != moves
    assert second.name_of("metric", 1) == "a"
    await first.refresh()
    third = await uids(pair[0])
    for one in (first, third):
        assert [one.id_of("metric", name) for name in "ab"] == [1, 2]


async def test_two_gateways_give_one_name_one_id(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    second.id_of("tagv", "other", create=True)
    for one in (first, second):
        one.id_of("tagv", "v", create=True)
    await asyncio.gather(first.flush(), second.flush())
    await first.refresh()
    assert first.id_of("tagv", "v") == second.id_of("tagv", "v")
    assert {first.id_of("tagv", "v"), first.id_of("tagv", "other")} == {1, 2}


async def test_ids_given_by_many_gateways_at_once_are_unique_and_without_holes(pair: list[Gateway]) -> None:
    async def work(one: Uids, own: int) -> None:
        for number in range(40):
            one.id_of("metric", f"common{number}", create=True)
            one.id_of("metric", f"own{own}.{number}", create=True)
            if number % 3 == own % 3:
                await one.flush()
        await one.flush()

    several = [await uids(gateway) for gateway in (*pair, *pair)]
    await asyncio.gather(*(work(one, own) for own, one in enumerate(several)))
    names = [f"common{n}" for n in range(40)] + [f"own{own}.{n}" for own in range(4) for n in range(40)]
    loaded = await uids(pair[0])
    ids = {name: loaded.id_of("metric", name) for name in names}
    assert sorted(one for one in ids.values() if one is not None) == list(range(1, len(names) + 1))
    for one in several:
        await one.refresh()
        assert {name: one.id_of("metric", name) for name in names} == ids
        assert [one.name_of("metric", number) for number in range(1, 201)] == [
            loaded.name_of("metric", number) for number in range(1, 201)
        ]


async def test_a_name_is_given_to_one_of_two_ids_that_are_renamed_to_it_at_once(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    for name in ("a", "b"):
        first.id_of("metric", name, create=True)
    await first.flush()
    await second.refresh()
    done = await asyncio.gather(first.rename("metric", "a", "c"), second.rename("metric", "b", "c"))
    assert sorted(done) == [False, True]
    await first.refresh()
    await second.refresh()
    assert first.id_of("metric", "c") == second.id_of("metric", "c") == (1 if done[0] else 2)


async def test_a_rename_is_noticed_and_what_was_remembered_by_name_is_looked_up_again(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    first.register("old", [("k", "v")])
    await first.flush()
    await second.refresh()
    version = second.version
    assert await first.rename("metric", "old", "new")
    await second.refresh()
    assert second.version != version
    assert second.register("new", [("k", "v")]) == ("old", (("k", "v"),))
    assert second.wire_series(Series.of("d", "old", {"k": "v"})).metric == "new"


async def test_a_name_that_waits_while_another_gateway_renames_to_it_becomes_that_one(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    first.id_of("metric", "old", create=True)
    await first.flush()
    await second.refresh()
    second.id_of("metric", "new", create=True)
    assert await first.rename("metric", "old", "new")
    await second.flush()
    assert not second.dirty
    assert second.id_of("metric", "new") == 1
    assert second.id_of("metric", "old") is None


async def test_work_whose_ids_did_not_hold_is_done_again(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    first.id_of("metric", "a", create=True)
    await first.flush()
    seen = []

    async def work() -> str:
        seen.append(second.tsuid(Series.of("d", "b", {"k": "v"})))
        return seen[-1]

    assert await second.settled(work) == "000002000001000001"
    assert seen == ["000001000001000001", "000002000001000001"]


async def test_a_gateway_behind_a_log_that_was_written_anew_reads_on(
    pair: list[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uid_log, "COMPACT_DOCUMENTS", 5)
    monkeypatch.setattr(uid_log, "EMPTY_MS", -1)
    first, lagging = [await uids(one) for one in pair]
    for round_ in range(3):
        for number in range(8):
            first.id_of("metric", f"m{round_}.{number}", create=True)
            await first.flush()
        first = await uids(pair[0])
    numbers = [int(key) for key, _ in await pair[0].list_documents("d", uid_log.COLLECTION)]
    assert min(numbers) > 1
    lagging._log.read_at = float("-inf")
    await lagging.refresh()
    lagging.id_of("metric", "last", create=True)
    await lagging.flush()
    loaded = await uids(pair[0])
    names = [f"m{round_}.{number}" for round_ in range(3) for number in range(8)] + ["last"]
    assert [loaded.id_of("metric", name) for name in names] == list(range(1, 26))


async def test_ids_of_another_gateway_are_known_within_a_second(pair: list[Gateway]) -> None:
    scopes = [Scope(gateway, Settings()) for gateway in pair]
    first, second = [await uids_of(scope, "d") for scope in scopes]
    first.id_of("metric", "m", create=True)
    await first.flush()
    assert second.id_of("metric", "m") is None
    second._log.read_at -= 2
    assert (await uids_of(scopes[1], "d")).id_of("metric", "m") == 1


async def test_who_does_not_wait_for_other_gateways_ids_has_them_read_meanwhile(pair: list[Gateway]) -> None:
    scopes = [Scope(gateway, Settings()) for gateway in pair]
    first, second = [await uids_of(scope, "d") for scope in scopes]
    first.id_of("metric", "m", create=True)
    await first.flush()
    second._log.read_at -= 2
    assert uid.loaded_uids(scopes[1], "d") is second
    for _ in range(500):
        if second.id_of("metric", "m") is not None:
            break
        await asyncio.sleep(0.01)
    assert second.id_of("metric", "m") == 1
    assert uid.loaded_uids(scopes[1], "other") is None


async def test_an_unknown_name_is_looked_for_in_the_log_before_it_is_called_unknown(pair: list[Gateway]) -> None:
    first, second = [await uids(one) for one in pair]
    first.assign("metric", "m")
    await first.flush()
    assert await second.find("metric", "m") == 1


# over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sites(pair: list[Gateway]) -> AsyncIterator[list[Served]]:
    """The applications of both gateways."""
    made = [await serve(gateway, SETTINGS) for gateway in pair]  # type: ignore[arg-type]
    yield made
    for one in made:
        await one.client.close()


async def test_trees_made_at_once_have_ids_of_their_own(sites: list[Served]) -> None:
    asked = [sites[n % 2].ask("POST", "/api/tree", {"name": f"t{n}"}) for n in range(8)]
    answers = await asyncio.gather(*asked)
    assert sorted(tree["treeId"] for _, tree in answers) == list(range(1, 9))


async def test_rules_that_are_added_at_once_are_all_kept(sites: list[Served]) -> None:
    await sites[0].ask("POST", "/api/tree", {"name": "t"})
    rules = [{"treeId": 1, "level": level, "order": 0, "type": "METRIC"} for level in range(8)]
    answers = await asyncio.gather(*(sites[n % 2].ask("POST", "/api/tree/rule", rule) for n, rule in enumerate(rules)))
    assert {status for status, _ in answers} == {200}
    _, tree = await sites[1].ask("GET", "/api/tree?treeid=1")
    assert sorted(tree["rules"]) == [str(level) for level in range(8)]


async def test_what_is_written_at_once_about_a_name_is_all_kept(sites: list[Served]) -> None:
    await sites[0].ask("POST", "/api/uid/assign", {"metric": ["m"]})
    given = {"uid": "000001", "type": "METRIC"}
    fields = {"description": "d", "notes": "n", "displayName": "x"}
    await uid.uids_of(sites[1].scope, "default")
    asked = [
        sites[n % 2].ask("POST", "/api/uid/uidmeta", {**given, name: value})
        for n, (name, value) in enumerate(fields.items())
    ]
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}
    _, shown = await sites[0].ask("GET", "/api/uid/uidmeta?uid=000001&type=metric")
    assert {name: shown[name] for name in fields} == fields


async def test_ids_assigned_at_once_by_request_are_the_ones_in_the_log(sites: list[Served]) -> None:
    answers = await asyncio.gather(
        *(site.ask("POST", "/api/uid/assign", {"metric": [f"own{n}", "common"]}) for n, site in enumerate(sites))
    )
    loaded = Uids(sites[0].scope.gateway, "default")
    await loaded.load()
    for n, (_, answer) in enumerate(answers):
        for name, text in answer["metric"].items():
            assert name in (f"own{n}", "common")
            assert loaded.id_of("metric", name) == int(text, 16)
    assert {loaded.id_of("metric", name) for name in ("own0", "own1", "common")} == {1, 2, 3}
