"""UIDs: order, permanence, TSUIDs, renames."""

from __future__ import annotations

import pytest

from amondawa.errors import Unavailable
from amondawa.model.series import Series
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb import uid, uid_log, uid_names
from amondawa.protocols.opentsdb.errors import NoSuchId
from amondawa.protocols.opentsdb.uid import Uids, parse_uids, uid_text, uids_of
from amondawa.settings import Settings
from tests.naive import NaiveGateway
from tests.protocols.opentsdb.served import one_long


async def loaded(gateway: NaiveGateway) -> Uids:
    uids = Uids(gateway, "d")
    await uids.load()
    return uids


async def test_ids_count_from_one_in_order_of_first_use_apart_for_each_kind():
    uids = await loaded(NaiveGateway())
    assert [uids.id_of("metric", name, create=True) for name in ("b", "a", "b")] == [1, 2, 1]
    assert uids.id_of("tagk", "b", create=True) == 1
    assert uids.id_of("tagv", "b") is None


async def test_new_tags_are_numbered_in_the_order_of_a_java_map():
    uids = await loaded(NaiveGateway())
    uids.register("m", (("dc", "x"), ("host", "a")))
    assert (uids.id_of("tagk", "host"), uids.id_of("tagk", "dc")) == (1, 2)
    assert (uids.id_of("tagv", "a"), uids.id_of("tagv", "x")) == (1, 2)


async def test_ids_outlive_a_restart_once_flushed():
    gateway = NaiveGateway()
    uids = await loaded(gateway)
    uids.register("m", [("host", "a"), ("dc", "x")])
    assert uids.dirty
    await uids.flush()
    assert not uids.dirty
    again = await loaded(gateway)
    series = Series.of("d", "m", {"host": "a", "dc": "x"})
    assert again.tsuid(series) == uids.tsuid(series)
    assert not again.dirty


async def test_a_flush_that_fails_leaves_the_names_for_the_next_one():
    class Broken(NaiveGateway):
        down = True

        async def put_document_if(
            self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
        ) -> bool:
            if self.down:
                raise Unavailable("down")
            return await super().put_document_if(domain, collection, key, value, expected)

    gateway = Broken()
    uids = await loaded(gateway)
    uids.id_of("metric", "m", create=True)
    with pytest.raises(Unavailable):
        await uids.flush()
    assert uids.dirty
    gateway.down = False
    await uids.flush()
    assert (await loaded(gateway)).id_of("metric", "m") == 1


async def test_a_long_log_is_written_anew_in_few_documents(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uid_log, "COMPACT_DOCUMENTS", 5)
    gateway = NaiveGateway()
    uids = await loaded(gateway)
    for number in range(8):
        uids.id_of("metric", f"m{number}", create=True)
        await uids.flush()
    assert await uids.rename("metric", "m2", "renamed")
    again = await loaded(gateway)
    live = [value for _, value in await gateway.list_documents("d", uid_log.COLLECTION) if value != uid_log.EMPTY]
    assert len(live) == 1
    third = await loaded(gateway)
    for one in (again, third):
        assert one.id_of("metric", "m7") == 8
        assert one.id_of("metric", "renamed") == 3
        assert one.stored_name("metric", "renamed") == "m2"


async def test_many_names_are_cut_into_documents_of_limited_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uid_names, "DOCUMENT_BYTES", 200)
    gateway = NaiveGateway()
    uids = await loaded(gateway)
    for number in range(50):
        uids.id_of("tagv", f"value{number}", create=True)
    await uids.flush()
    documents = await gateway.list_documents("d", uid_log.COLLECTION)
    assert len(documents) > 5
    assert max(len(value) for _, value in documents) <= 200
    assert (await loaded(gateway)).id_of("tagv", "value49") == 50


async def test_a_tsuid_is_metric_then_tags_ordered_by_the_ids_of_their_names():
    uids = await loaded(NaiveGateway())
    uids.id_of("tagk", "z", create=True)
    uids.id_of("tagk", "a", create=True)
    series = Series.of("d", "m", {"a": "1", "z": "2"})
    assert uids.tsuid(series) == "000001" + "000001000002" + "000002000001"
    assert uids.series_of_tsuid(uids.tsuid(series)) == series
    assert uids.series_of_tsuid(uids.tsuid(series).lower()) == series


@pytest.mark.parametrize("tsuid", ["", "xyz", "000001", "000001000001", "0000010000010000", "FFFFFFFFFFFFFFFFFF"])
async def test_what_is_no_tsuid_or_of_unknown_ids_is_refused(tsuid: str):
    uids = await loaded(NaiveGateway())
    uids.register("m", [("k", "v")])
    with pytest.raises(NoSuchId):
        uids.series_of_tsuid(tsuid)


def test_an_unknown_id_is_named_as_signed_bytes():
    assert uid.no_such_id("metric", 0xFFFFFF).message == "No such unique ID for 'metrics': [-1, -1, -1]"
    assert uid.no_such_id("tagv", 0x0180FF).message == "No such unique ID for 'tagv': [1, -128, -1]"


@pytest.mark.parametrize("number", [1, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**32 - 1])
def test_ids_past_three_bytes_can_be_written_and_read(number: int):
    text = uid_text(7) + uid_text(number) + uid_text(9)
    assert parse_uids(text) == [7, number, 9]


async def test_a_renamed_metric_keeps_its_points_under_the_new_name():
    uids = await loaded(NaiveGateway())
    uids.register("old", [("k", "v")])
    version = uids.version
    assert await uids.rename("metric", "old", "new")
    assert uids.version != version
    assert uids.id_of("metric", "old") is None
    assert uids.register("new", [("k", "v")]) == ("old", (("k", "v"),))
    assert uids.wire_series(Series.of("d", "old", {"k": "v"})).metric == "new"
    assert uids.tsuid(Series.of("d", "old", {"k": "v"})).startswith("000001")


async def test_a_name_that_was_given_away_starts_anew_elsewhere():
    uids = await loaded(NaiveGateway())
    uids.register("old", [("k", "v")])
    assert await uids.rename("metric", "old", "new")
    metric, _ = uids.register("old", [("k", "v")])
    assert metric != "old"
    assert uids.id_of("metric", "old") == 2
    assert uids.wire_name("metric", metric) == "old"
    assert uids.wire_name("metric", "old") == "new"


async def test_a_rename_back_leaves_no_trace():
    gateway = NaiveGateway()
    uids = await loaded(gateway)
    uids.register("old", [("k", "v")])
    assert await uids.rename("metric", "old", "new")
    assert await uids.rename("metric", "new", "old")
    assert not uids.renamed
    assert not (await loaded(gateway)).renamed


async def test_names_of_other_protocols_get_their_id_when_asked_for():
    gateway = NaiveGateway()
    scope = Scope(gateway, Settings())
    served = await uids_of(scope, "d")
    assert await served.find("metric", "m") is None
    await gateway.write(one_long(gateway.resolve("d", "m", (("k", "v"),))))
    assert [await served.find("metric", "m"), await served.find("tagk", "k"), await served.find("tagv", "v")] == [1] * 3
    assert await served.find("tagv", "w") is None
    assert await uids_of(scope, "d") is served
    assert (await uids_of(scope, "other")).id_of("metric", "m") is None
