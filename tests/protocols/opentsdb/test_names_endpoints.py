"""Suggesting, looking up, assigning, renaming and describing names and series."""

from __future__ import annotations

from typing import Any

import pytest

from amondawa.protocols.opentsdb import telnet
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.metric_tags import parse_exact, parse_open
from tests.protocols.line_gateways import talk
from tests.protocols.opentsdb.served import START_S, Served

# suggest ----------------------------------------------------------------------------------------------------------


async def test_names_are_suggested_by_prefix_in_order_up_to_a_maximum(tsdb: Served):
    for name in ("cpu.user", "cpu.sys", "disk", "Cpu"):
        await tsdb.put(name, host=f"v.{name}")
    assert await tsdb.ask("GET", "/api/suggest?type=metrics&q=cpu") == (200, ["cpu.sys", "cpu.user"])
    assert await tsdb.ask("GET", "/api/suggest?type=metrics&q=cpu&max=1") == (200, ["cpu.sys"])
    assert await tsdb.ask("GET", "/api/suggest?type=metrics&max=-3") == (200, ["Cpu", "cpu.sys", "cpu.user", "disk"])
    assert await tsdb.ask("POST", "/api/suggest", {"type": "tagk", "q": None, "max": None}) == (200, ["host"])
    assert await tsdb.ask("POST", "/api/suggest", {"type": "tagv", "q": "v.d", "max": "5"}) == (200, ["v.disk"])


async def test_no_more_than_25_names_are_suggested_unasked(tsdb: Served):
    for number in range(30):
        await tsdb.put(f"m{number:02d}")
    assert len((await tsdb.ask("GET", "/api/suggest?type=metrics"))[1]) == 25
    assert len((await tsdb.ask("GET", "/api/suggest?type=metrics&max=1000000000"))[1]) == 30
    assert (await tsdb.ask("GET", "/api/suggest?type=metrics&max=3000000000"))[0] == 400


async def test_assigned_names_are_suggested_before_they_have_points(tsdb: Served):
    await tsdb.put("b")
    await tsdb.ask("GET", "/api/uid/assign?metric=a,c")
    assert await tsdb.ask("GET", "/api/suggest?type=metrics") == (200, ["a", "b", "c"])


# lookup -----------------------------------------------------------------------------------------------------------


async def filled(tsdb: Served) -> None:
    await tsdb.put("m", host="h1", dc="x")
    await tsdb.put("m", host="h2", dc="x")
    await tsdb.put("m", host="h3", dc="y")
    await tsdb.put("m", rack="h1")
    await tsdb.put("other", host="h1")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("m", ["h1", "h2", "h3", "rack"]),
        ("m{}", ["h1", "h2", "h3", "rack"]),
        ("m{host=h1}", ["h1"]),
        ("m{dc=x}", ["h1", "h2"]),
        ("m{host=*}", ["h1", "h2", "h3"]),
        ("m{host=}", ["h1", "h2", "h3"]),
        ("m{host=h1,host=h3}", ["h1", "h3"]),
        ("m{host=h1,dc=y}", []),
        ("m{*=h1}", ["h1", "rack"]),
        ("m{=h1}", ["h1", "rack"]),
        ("m{*=h1,dc=*}", ["h1"]),
    ],
)
async def test_series_are_looked_up_by_metric_and_tags(tsdb: Served, query: str, found: list[str]):
    await filled(tsdb)
    status, answer = await tsdb.ask("GET", f"/api/search/lookup?m={query}")
    assert status == 200
    assert [one["tags"].get("host", "rack") for one in answer["results"]] == found
    assert (answer["type"], answer["metric"], answer["totalResults"]) == ("LOOKUP", "m", len(found))


async def test_a_lookup_needs_no_metric(tsdb: Served):
    await filled(tsdb)
    for metric in ("", "*"):
        _, answer = await tsdb.ask("GET", f"/api/search/lookup?m={metric}{{host=h1}}")
        assert [one["metric"] for one in answer["results"]] == ["m", "other"]


async def test_a_lookup_by_body_shows_tags_only_when_given(tsdb: Served):
    await filled(tsdb)
    _, answer = await tsdb.ask("POST", "/api/search/lookup", {"metric": "m", "limit": 2})
    assert "tags" not in answer
    assert (len(answer["results"]), answer["limit"]) == (2, 2)
    _, answer = await tsdb.ask("POST", "/api/search/lookup", {"metric": "m", "tags": [{"key": "dc", "value": "y"}]})
    assert answer["tags"] == [{"key": "dc", "value": "y"}]
    assert [one["tags"] for one in answer["results"]] == [{"host": "h3", "dc": "y"}]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("lookup", 400, "Missing parameter <code>m</code>"),
        ("lookup?m=m{host", 400, "Unable to parse query"),
        ("lookup?m=m{host}", 400, "Unable to parse query"),
        ("lookup?m=m&limit=x", 400, "Unable to convert 'limit' to a valid number"),
        ("lookup?m=nosuch", 404, "Unable to resolve one or more UIDs"),
        ("lookup?m=m{host=nosuch}", 404, "Unable to resolve one or more UIDs"),
        ("lookup?m=m{nosuch=*}", 404, "Unable to resolve one or more UIDs"),
        ("uidmeta?query=x", 400, "Searching is not enabled"),
        ("uidmeta", 400, "Missing parameter <code>query</code>"),
        ("foo", 400, "Invalid search query type supplied"),
    ],
)
async def test_a_search_that_is_not_right_is_refused(tsdb: Served, path: str, status: int, message: str):
    await filled(tsdb)
    got, answer = await tsdb.ask("GET", f"/api/search/{path}")
    assert (got, answer["error"]["message"]) == (status, message)


def test_tags_after_a_metric_are_exact_or_open():
    assert parse_exact("m{a=1,b=2}") == ("m", {"a": "1", "b": "2"})
    assert parse_exact("m{a=1,a=1}") == ("m", {"a": "1"})
    assert parse_open("m{a=,=b,*=c}") == ("m", [("a", None), (None, "b"), ("*", "c")])
    for text in ("m{", "m{a}", "m{a=}", "m{=1}", "m{a=1=2}", "m{a=1,a=2}", "m{a=1}x"):
        with pytest.raises(TsdbError):
            parse_exact(text)


# uid --------------------------------------------------------------------------------------------------------------


async def test_each_name_is_its_own_success_or_failure(tsdb: Served):
    await tsdb.put("known")
    asked = {"metric": ["new", "known", "a b"], "tagk": ["k"], "foo": ["x"]}
    status, answer = await tsdb.ask("POST", "/api/uid/assign", asked)
    assert status == 400
    assert answer["metric"] == {"new": "000002"}
    assert answer["metric_errors"] == {
        "a b": 'Invalid metric ("a b"): illegal character:  ',
        "known": "Name already exists with UID: 000001",
    }
    assert answer["tagk"] == {"k": "000002"}
    assert answer["foo_errors"] == {"x": "Unknown type name"}
    assert await tsdb.ask("GET", "/api/uid/assign?tagv=v1,v2") == (200, {"tagv": {"v1": "000002", "v2": "000003"}})


async def test_points_written_before_a_rename_are_found_under_the_new_name(tsdb: Served):
    await tsdb.put("old", 5)
    assert await tsdb.ask("POST", "/api/uid/rename", {"metric": "old", "name": "new"}) == (200, {"result": "true"})
    await tsdb.put("new", 6, START_S + 1)
    status, answer = await tsdb.ask("GET", f"/api/query?start={START_S}&end={START_S + 9}&m=sum:new")
    assert status == 200
    assert answer[0]["metric"] == "new"
    assert answer[0]["dps"] == {str(START_S): 5, str(START_S + 1): 6}
    assert (await tsdb.ask("GET", f"/api/query?start={START_S}&m=sum:old"))[0] == 400
    assert await tsdb.ask("GET", "/api/suggest?type=metrics") == (200, ["new"])
    _, answer = await tsdb.ask("GET", "/api/search/lookup?m=new")
    assert [one["metric"] for one in answer["results"]] == ["new"]


async def test_a_renamed_metric_is_another_one_for_all_who_wrote_it(tsdb: Served):
    session = telnet.session(tsdb.scope)
    for turn in range(2):
        await talk(session, f"put old {START_S + turn} 1 host=line\n".encode())
        await tsdb.put("old", 1, START_S + turn, host="http")
        if not turn:
            assert (await tsdb.ask("GET", "/api/uid/rename?metric=old&name=new"))[0] == 200
    for metric, at_s in (("new", START_S), ("old", START_S + 1)):
        _, answer = await tsdb.ask("GET", f"/api/query?start={START_S - 9}&m=none:{metric}")
        assert [(one["tags"]["host"], one["dps"]) for one in answer] == [
            ("line", {str(at_s): 1}),
            ("http", {str(at_s): 1}),
        ]


async def test_tags_can_be_renamed_too(tsdb: Served):
    await tsdb.put("m", host="a")
    await tsdb.ask("GET", "/api/uid/rename?tagk=host&name=server")
    await tsdb.ask("GET", "/api/uid/rename?tagv=a&name=b")
    _, answer = await tsdb.ask("GET", f"/api/query?start={START_S}&end={START_S + 9}&m=sum:m{{server=b}}")
    assert answer[0]["tags"] == {"server": "b"}


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"metric": "nosuch", "name": "x"}, 'Name("nosuch") does not exist'),
        ({"metric": "m", "name": "a b"}, 'Invalid metric ("a b"): illegal character:  '),
        (
            {"metric": "m", "name": "n"},
            'When trying rename("m", "n") on UniqueId(tsdb-uid, metrics, 3): new name already assigned ID=[0, 0, 2]',
        ),
    ],
)
async def test_a_rename_that_cannot_be_says_why(tsdb: Served, asked: dict[str, str], error: str):
    await tsdb.put("m")
    await tsdb.put("n")
    assert await tsdb.ask("POST", "/api/uid/rename", asked) == (400, {"result": "false", "error": error})


@pytest.mark.parametrize("body", [{"metric": "m"}, {"name": "n"}, {}])
async def test_a_rename_needs_both_names(tsdb: Served, body: dict[str, str]):
    status, answer = await tsdb.ask("POST", "/api/uid/rename", body)
    assert (status, answer["error"]["message"]) == (400, "Missing necessary values to rename UID")


# meta data --------------------------------------------------------------------------------------------------------


async def test_what_is_written_about_a_name_is_merged_or_replaced(tsdb: Served):
    await tsdb.put("m")
    place = {"uid": "000001", "type": "metric"}
    _, answer = await tsdb.ask("POST", "/api/uid/uidmeta", {**place, "displayName": "M", "custom": {"a": "b"}})
    assert (answer["type"], answer["name"], answer["displayName"], answer["custom"]) == ("METRIC", "m", "M", {"a": "b"})
    _, answer = await tsdb.ask("POST", "/api/uid/uidmeta", {**place, "notes": "n"})
    assert (answer["displayName"], answer["notes"]) == ("M", "n")
    _, answer = await tsdb.ask("PUT", "/api/uid/uidmeta", {**place, "description": "d"})
    assert (answer["displayName"], answer["notes"], answer["description"]) == ("", "", "d")
    assert (await tsdb.ask("POST", "/api/uid/uidmeta", place))[0] == 304
    assert (await tsdb.ask("DELETE", "/api/uid/uidmeta", place)) == (204, "")
    _, answer = await tsdb.ask("GET", "/api/uid/uidmeta?uid=000001&type=METRIC")
    assert answer["description"] == ""


async def test_what_is_written_about_a_series_is_merged_or_replaced(tsdb: Served):
    await tsdb.put("m", host="a", dc="x")
    await tsdb.put("m", 2, START_S + 60, host="a", dc="x")
    _, (found,) = await tsdb.ask("GET", "/api/uid/tsmeta?m=m{dc=x}")
    tsuid = found["tsuid"]
    assert [one["name"] for one in found["tags"]] == ["host", "a", "dc", "x"]
    assert (found["totalDatapoints"], found["lastReceived"], found["max"]) == (2, START_S + 60, "NaN")
    assert "custom" not in found
    _, answer = await tsdb.ask("POST", "/api/uid/tsmeta", {"tsuid": tsuid, "units": "bits", "max": 9.5, "retention": 3})
    assert (answer["units"], answer["max"], answer["retention"]) == ("bits", 9.5, 3)
    _, answer = await tsdb.ask("PUT", "/api/uid/tsmeta", {"tsuid": tsuid, "description": "d"})
    assert (answer["units"], answer["max"], answer["description"]) == ("", "NaN", "d")
    assert (await tsdb.ask("POST", "/api/uid/tsmeta", {"tsuid": tsuid}))[0] == 304
    _, answer = await tsdb.ask("POST", "/api/uid/tsmeta?m=m{host=a,dc=x}", {"notes": "by name"})
    assert (answer["tsuid"], answer["notes"]) == (tsuid, "by name")
    assert (await tsdb.ask("DELETE", "/api/uid/tsmeta", {"tsuid": tsuid}))[0] == 204
    assert (await tsdb.ask("GET", f"/api/uid/tsmeta?tsuid={tsuid}"))[1]["description"] == ""


@pytest.mark.parametrize(
    ("uid", "text"),
    [
        ("zz", "contains illegal character for hexBinary: zz"),
        ("-00001", "contains illegal character for hexBinary: -00001"),
        ("2", "Wrong id.length = 1 which is != 3 required for 'metrics'"),
        ("00000001", "Wrong id.length = 4 which is != 3 required for 'metrics'"),
    ],
)
async def test_digits_that_spell_no_id_are_told(tsdb: Served, uid: str, text: str):
    status, answer = await tsdb.ask("GET", f"/api/uid/uidmeta?uid={uid}&type=metric")
    assert (status, answer["error"]["message"]) == (500, f"java.lang.IllegalArgumentException: {text}")
    status, answer = await tsdb.ask("POST", "/api/uid/uidmeta", {"uid": uid, "type": "metric", "notes": "n"})
    assert (status, answer["error"]["message"], answer["error"]["details"]) == (400, text, text)


async def test_a_text_about_a_name_may_become_null(tsdb: Served):
    await tsdb.put("m")
    body = {"uid": "000001", "type": "metric", "notes": None}
    assert (await tsdb.ask("POST", "/api/uid/uidmeta", body))[0] == 200
    _, answer = await tsdb.ask("GET", "/api/uid/uidmeta?uid=000001&type=metric")
    assert (answer["notes"], answer["description"]) == (None, "")


async def test_a_series_without_points_can_be_created(tsdb: Served):
    await tsdb.put("m")
    await tsdb.put("n", host="b")
    path = "/api/uid/tsmeta?m=m{host=b}"
    assert (await tsdb.ask("POST", path))[0] == 400
    status, answer = await tsdb.ask("POST", f"{path}&create=true")
    assert (status, answer["totalDatapoints"]) == (200, 0)
    assert (await tsdb.ask("POST", f"{path}&create=true"))[0] == 304
    assert (await tsdb.ask("GET", f"/api/uid/tsmeta?tsuid={answer['tsuid']}"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "uidmeta", None, 400),
        ("GET", "uidmeta?uid=000001", None, 400),
        ("GET", "uidmeta?uid=000001&type=foo", None, 500),
        ("GET", "uidmeta?uid=0001&type=metric", None, 500),
        ("GET", "uidmeta?uid=000009&type=metric", None, 404),
        ("POST", "uidmeta", {"description": "x"}, 400),
        ("POST", "uidmeta", {"uid": "000001", "type": "foo", "notes": "n"}, 400),
        ("DELETE", "uidmeta", {"uid": "000001"}, 400),
        ("DELETE", "uidmeta?uid=000009&type=tagv", None, 204),
        ("GET", "tsmeta", None, 400),
        ("GET", "tsmeta?tsuid=abc", None, 404),
        ("GET", "tsmeta?m=nosuch", None, 404),
        ("POST", "tsmeta", {"notes": "n"}, 400),
        ("POST", "tsmeta?m=m{host=b}", {"notes": "n"}, 500),
        ("POST", "tsmeta", {"tsuid": "zz"}, 304),
        ("POST", "tsmeta", {"tsuid": "FFFFFFFFFFFFFFFFFF"}, 304),
        ("POST", "uidmeta", {"uid": "zz", "type": "metric"}, 304),
        ("DELETE", "uidmeta", {"uid": "1", "type": "metric"}, 204),
        ("DELETE", "uidmeta?uid=000001&type=foo", None, 500),
        ("POST", "tsmeta", {"tsuid": "FFFFFFFFFFFFFFFFFF", "notes": "n"}, 500),
        ("DELETE", "tsmeta", None, 400),
        ("GET", "nosuch", None, 501),
    ],
)
async def test_meta_requests_that_are_not_right(tsdb: Served, method: str, path: str, body: Any, status: int):
    await tsdb.put("m")
    assert (await tsdb.ask(method, f"/api/uid/{path}", body))[0] == status


async def test_a_lookup_without_a_metric_looks_at_all_and_repeats_what_has_no_effect(tsdb: Served):
    await tsdb.put("m")
    status, answer = await tsdb.ask("POST", "/api/search/lookup", {"query": "q", "startIndex": 3})
    assert (status, answer["metric"], answer["query"], answer["startIndex"]) == (200, "*", "q", 3)
    assert len(answer["results"]) == 1
    _, answer = await tsdb.ask("GET", "/api/search/lookup?m={host=a}")
    assert "metric" not in answer


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 500), ({"tags": {}}, 500), ({"tags": [None]}, 500), ({"metric": "m", "tags": [{"key": "*"}]}, 500)],
)
async def test_lookups_in_bodies_that_are_not_right_are_internal_errors(tsdb: Served, body: Any, status: int):
    await tsdb.put("m")
    assert (await tsdb.ask("POST", "/api/search/lookup", body))[0] == status


async def test_lookups_that_name_nothing_are_refused_with_their_text(tsdb: Served):
    for text, details in (
        ("{}", "Missing metric and tags: {}"),
        ("m{a}", "When parsing tag 'a': invalid tag: a"),
    ):
        status, answer = await tsdb.ask("GET", f"/api/search/lookup?m={text}")
        assert (status, answer["error"]["message"], answer["error"]["details"]) == (
            400,
            "Unable to parse query",
            details,
        )


async def test_a_rename_takes_an_override_and_says_what_is_wrong_with_it(tsdb: Served):
    await tsdb.put("m")
    assert await tsdb.ask("GET", "/api/uid/rename?metric=m&name=n&method_override=post") == (200, {"result": "true"})
    for body, problem in (
        ({"metrics": "n", "name": "o"}, "Unknown type name"),
        ({"metric": "n", "name": ""}, "Invalid metric: empty string"),
    ):
        assert await tsdb.ask("POST", "/api/uid/rename", body) == (400, {"result": "false", "error": problem})
    assert (await tsdb.ask("GET", "/api/uid/rename?metric=&name=o"))[1]["error"]["code"] == 400


async def test_nulls_among_names_are_internal_errors_and_numbers_are_names(tsdb: Served):
    for body in ({"metric": None}, {"metric": [None]}):
        assert (await tsdb.ask("POST", "/api/uid/assign", body))[0] == 500
    assert await tsdb.ask("POST", "/api/uid/assign", {"metric": [5]}) == (200, {"metric": {"5": "000001"}})


async def test_numbers_about_a_series_come_by_the_query_string_too(tsdb: Served):
    await tsdb.put("m")
    _, [meta] = await tsdb.ask("GET", "/api/uid/tsmeta?m=m")
    path = f"/api/uid/tsmeta?tsuid={meta['tsuid']}&method_override=post"
    _, got = await tsdb.ask("GET", f"{path}&retention=7&max=2.5")
    assert (got["retention"], got["max"], got["min"]) == (7, 2.5, "NaN")
    _, got = await tsdb.ask("POST", "/api/uid/tsmeta", {"tsuid": meta["tsuid"], "max": "NaN"})
    assert got["max"] == "NaN"
    status, answer = await tsdb.ask("GET", f"{path}&retention=abc")
    assert (status, answer["error"]["message"]) == (400, "Unable to parse 'retention' value")


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", "tsuid=xx", 500),
        ("GET", "tsuid=", 500),
        ("DELETE", "tsuid=xx", 400),
        ("DELETE", "", 400),
        ("GET", "m=m{host=nosuch}", 400),
        ("GET", "m=nosuch", 404),
    ],
)
async def test_series_that_are_not_named_rightly_have_no_meta_data(tsdb: Served, method: str, query: str, status: int):
    await tsdb.put("m")
    assert (await tsdb.ask(method, f"/api/uid/tsmeta?{query}"))[0] == status


@pytest.mark.parametrize("kind", ["uidmeta", "tsmeta", "annotation"])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("limit=x", "Missing parameter <code>query</code>"),
        ("query=q&limit=x", "Unable to convert 'limit' to a valid number"),
        ("query=q&start_index=", "Unable to convert 'start_index' to a valid number"),
        ("query=q&limit=1&start_index=2", "Searching is not enabled"),
    ],
)
async def test_numbers_of_a_search_are_read_before_it_is_refused(
    tsdb: Served, kind: str, parameters: str, message: str
):
    status, answer = await tsdb.ask("GET", f"/api/search/{kind}?{parameters}")
    assert (status, answer["error"]["message"]) == (400, message)


async def test_commas_alone_are_no_names_to_assign(tsdb: Served):
    status, answer = await tsdb.ask("GET", "/api/uid/assign?metric=,")
    assert (status, answer["error"]["message"]) == (400, "Missing values to assign UIDs")
    assert (await tsdb.ask("GET", "/api/uid/assign?metric=,&tagk=host"))[0] == 200
