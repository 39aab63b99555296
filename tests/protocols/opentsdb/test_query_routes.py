"""Queries over HTTP: what is read, how it is shown, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from amondawa.errors import LimitExceeded
from amondawa.model.points import Points, WriteBatch
from amondawa.settings import Settings
from tests.naive import NaiveGateway
from tests.protocols.opentsdb.served import START_S, Served, serve

T = START_S
RANGE = f"start={T}&end={T + 300}"


async def fill(tsdb: Served, metric: str = "m") -> None:
    """Two hosts, three minutes: 1 2 3 and 10 20 30."""
    points = [
        {"metric": metric, "timestamp": T + 60 * at, "value": (at + 1) * factor, "tags": {"host": host, "dc": "lga"}}
        for host, factor in (("web01", 1), ("web02", 10))
        for at in range(3)
    ]
    assert (await tsdb.ask("POST", "/api/put?details", points))[0] == 200


async def results(tsdb: Served, path: str, body: Any = None) -> list[dict[str, Any]]:
    status, answer = await tsdb.ask("GET" if body is None else "POST", path, body)
    assert status == 200, answer
    return answer


async def test_a_group_without_filters_holds_every_series(tsdb: Served):
    await fill(tsdb)
    expected = [
        {
            "metric": "m",
            "tags": {"dc": "lga"},
            "aggregateTags": ["host"],
            "dps": {str(T): 11, str(T + 60): 22, str(T + 120): 33},
        }
    ]
    assert await results(tsdb, f"/api/query?{RANGE}&m=sum:m") == expected
    body = {"start": T, "end": T + 300, "queries": [{"aggregator": "sum", "metric": "m"}]}
    assert await results(tsdb, "/api/query", body) == expected
    assert await results(tsdb, "/api/v1/query/", body) == expected


async def test_keys_come_in_the_order_that_clients_know(tsdb: Served):
    await fill(tsdb)
    status, data, _ = await tsdb.raw(
        "GET", f"/api/query?{RANGE}&m=sum:m{{host=web01}}&show_query&show_tsuids&show_stats&show_summary&arrays"
    )
    assert status == 200
    at = [
        data.index(b'"%s"' % key)
        for key in (b"metric", b"tags", b"aggregateTags", b"query", b"tsuids", b"dps", b"stats")
    ]
    assert at == sorted(at)
    assert data.endswith(b"}}]") and b'{"statsSummary":{' in data


async def test_groups_come_in_the_order_in_which_their_values_were_first_written(tsdb: Served):
    for host in ("zeta", "alpha", "mid"):
        await tsdb.put("m", host=host)
    got = await results(tsdb, f"/api/query?{RANGE}&m=sum:m{{host=*}}")
    assert [one["tags"]["host"] for one in got] == ["zeta", "alpha", "mid"]
    got = await results(tsdb, f"/api/query?{RANGE}&m=none:m")
    assert [one["tags"]["host"] for one in got] == ["zeta", "alpha", "mid"]


async def test_a_series_read_but_without_points_in_the_range_is_empty_and_one_not_read_is_absent(tsdb: Served):
    await tsdb.put("m", at_s=T, host="a")
    await tsdb.put("m", at_s=T - 7200, host="b")
    got = await results(tsdb, f"/api/query?start={T + 600}&end={T + 900}&m=none:m")
    assert got == [{"metric": "m", "tags": {"host": "a"}, "aggregateTags": [], "dps": {}}]
    assert await results(tsdb, f"/api/query?start={T + 36000}&end={T + 37000}&m=none:m") == []


async def test_points_around_the_range_feed_interpolation_and_rates(tsdb: Served):
    for at, value in ((0, 0), (100, 100), (200, 200)):
        await tsdb.put("m", value, T + at, host="a")
    await tsdb.put("m", 5, T + 50, host="b")
    await tsdb.put("m", 5, T + 150, host="b")
    [got] = await results(tsdb, f"/api/query?start={T + 40}&end={T + 60}&m=sum:m")
    assert got["dps"] == {str(T + 50): 55}
    [got] = await results(tsdb, f"/api/query?start={T + 90}&end={T + 110}&m=sum:rate:m{{host=a}}")
    assert got["dps"] == {str(T + 100): 1.0}


async def test_downsampling_drops_the_bucket_that_begins_before_the_range(tsdb: Served):
    for at in range(0, 300, 10):
        await tsdb.put("m", 1, T + at)
    [got] = await results(tsdb, f"/api/query?start={T + 65}&end={T + 185}&m=sum:1m-sum:m")
    assert got["dps"] == {str(T + 120): 6.0, str(T + 180): 6.0}
    [got] = await results(tsdb, f"/api/query?start={T + 250}&end={T + 400}&m=sum:1m-sum-null:m&arrays")
    assert got["dps"] == [[T + 300, None], [T + 360, None]]


async def test_explicit_tags_want_exactly_the_filtered_ones(tsdb: Served):
    await fill(tsdb)
    assert await results(tsdb, f"/api/query?{RANGE}&m=sum:explicit_tags:m{{host=*}}") == []
    assert len(await results(tsdb, f"/api/query?{RANGE}&m=sum:explicit_tags:m{{host=*,dc=*}}")) == 2
    assert len(await results(tsdb, f"/api/query?{RANGE}&m=sum:explicit_tags:m")) == 1


async def test_series_are_found_by_their_ids(tsdb: Served):
    await fill(tsdb)
    got = await results(tsdb, f"/api/query?{RANGE}&m=none:m&show_tsuids")
    one, two = (result["tsuids"][0] for result in got)
    [both] = await results(tsdb, f"/api/query?{RANGE}&tsuid=sum:{one},{two}")
    assert (both["tags"], both["dps"][str(T)]) == ({"dc": "lga"}, 11)
    body = {"start": T, "end": T + 300, "queries": [{"aggregator": "max", "tsuids": [two]}]}
    assert (await results(tsdb, "/api/query", body))[0]["dps"][str(T)] == 10
    assert await results(tsdb, f"/api/query?{RANGE}&tsuid=sum:0000FF{one[6:]}") == []


@pytest.mark.parametrize("tsuid", ["xyz", "0001", "00000", ""])
async def test_what_is_no_tsuid_is_refused(tsdb: Served, tsuid: str):
    status, _ = await tsdb.ask("GET", f"/api/query?{RANGE}&tsuid=sum:{tsuid}")
    assert status in (400, 500)


@pytest.mark.parametrize(
    ("m", "message"),
    [
        ("sum:nosuch", "No such name for 'metrics': 'nosuch'"),
        ("sum:m{nosuch=web01}", "No such name for 'tagk': 'nosuch'"),
        ("sum:m{host=web01|nosuch}", "No such name for 'tagv': 'nosuch'"),
        ("sum:m{nosuch=nobody}", "No such name for 'tagv': 'nobody'"),
    ],
)
async def test_names_never_written_are_refused(tsdb: Served, m: str, message: str):
    await fill(tsdb)
    status, answer = await tsdb.ask("GET", f"/api/query?{RANGE}&m={m}")
    assert status == 400
    assert answer["error"] == {"code": 400, "message": message, "details": message}


async def test_a_known_value_without_series_gives_nothing(tsdb: Served):
    await fill(tsdb)
    await tsdb.put("other", host="web03")
    assert await results(tsdb, f"/api/query?{RANGE}&m=sum:m{{host=web03}}") == []


async def test_methods_other_than_get_post_and_delete_are_refused(tsdb: Served):
    status, answer = await tsdb.ask("PUT", f"/api/query?{RANGE}&m=sum:m")
    assert (status, answer["error"]["message"]) == (405, "Method not allowed")


async def test_a_delete_answers_and_removes_whole_hours(tsdb: Served):
    for at in (0, 1800, 3600):
        await tsdb.put("m", at, T + at)
    [got] = await results(tsdb, f"/api/query?start={T - 10}&end={T + 10}&m=sum:m&method_override=delete")
    assert got["dps"] == {str(T): 0}
    [got] = await results(tsdb, f"/api/query?start={T - 10}&end={T + 7200}&m=sum:m")
    assert got["dps"] == {str(T + 3600): 3600}
    body = {"start": T, "end": T + 7200, "delete": True, "queries": [{"aggregator": "sum", "metric": "m"}]}
    await results(tsdb, "/api/query", body)
    status, answer = await tsdb.ask("GET", f"/api/query?start={T - 10}&end={T + 7200}&m=sum:m")
    assert (status, answer) == (200, [])


async def test_a_delete_by_an_expression_removes_what_it_read(tsdb: Served):
    await tsdb.put("m", 5, T)
    [got] = (await tsdb.ask("DELETE", f"/api/query/gexp?{RANGE}&exp=absolute(sum:m)"))[1]
    assert got["dps"] == {str(T): 5}
    assert await tsdb.ask("GET", f"/api/query?{RANGE}&m=sum:m") == (200, [])


async def test_deletes_need_a_setting():
    tsdb = await serve(settings=Settings())
    try:
        for method, path, body in (
            ("DELETE", f"/api/query?{RANGE}&m=sum:m", None),
            ("POST", "/api/query", {"start": T, "delete": True, "queries": []}),
        ):
            status, answer = await tsdb.ask(method, path, body)
            assert (status, answer["error"]["details"]) == (
                400,
                "Deleting data is not enabled (tsd.http.query.allow_delete=false)",
            )
    finally:
        await tsdb.client.close()


async def test_annotations_show_as_soon_as_the_rows_hold_any(tsdb: Served):
    await tsdb.put("m")
    await tsdb.put("m", at_s=T + 60)
    [got] = await results(tsdb, f"/api/query?{RANGE}&m=sum:m&show_tsuids")
    note = {"startTime": T + 30, "tsuid": got["tsuids"][0], "description": "d"}
    await tsdb.ask("POST", "/api/annotation", note)
    await tsdb.ask("POST", "/api/annotation", {"startTime": T + 40, "description": "everywhere"})
    [got] = await results(tsdb, f"/api/query?{RANGE}&m=sum:m")
    assert [one["description"] for one in got["annotations"]] == ["d"]
    assert "globalAnnotations" not in got
    [got] = await results(tsdb, f"/api/query?start={T + 60}&end={T + 90}&m=sum:m&global_annotations")
    assert got["annotations"] == []
    assert "globalAnnotations" not in got
    [got] = await results(tsdb, f"/api/query?{RANGE}&m=sum:m&global_annotations")
    assert [one["description"] for one in got["globalAnnotations"]] == ["everywhere"]
    [got] = await results(tsdb, f"/api/query?{RANGE}&m=sum:m&no_annotations&global_annotations")
    assert "annotations" not in got and "globalAnnotations" not in got


async def test_the_query_is_shown_with_its_index(tsdb: Served):
    await fill(tsdb)
    body = {
        "start": T,
        "end": T + 300,
        "showQuery": True,
        "queries": [
            {"aggregator": "max", "metric": "m"},
            {"aggregator": "sum", "metric": "m", "rate": True, "rateOptions": {"counter": True}, "tags": {"host": "*"}},
        ],
    }
    got = await results(tsdb, "/api/query", body)
    assert [one["query"]["index"] for one in got] == [0, 1, 1]
    assert got[1]["query"]["rateOptions"] == {
        "counter": True,
        "counterMax": 2**63 - 1,
        "resetValue": 0,
        "dropResets": False,
    }
    assert got[1]["query"]["tags"] == {"host": "wildcard(*)"}


async def test_a_renamed_metric_is_found_and_shown_by_its_new_name(tsdb: Served):
    await tsdb.put("before")
    assert (await tsdb.ask("POST", "/api/uid/rename", {"metric": "before", "name": "after"}))[0] == 200
    [got] = await results(tsdb, f"/api/query?{RANGE}&m=sum:after")
    assert got["metric"] == "after"
    assert (await tsdb.ask("GET", f"/api/query?{RANGE}&m=sum:before"))[0] == 400


async def test_texts_in_a_series_are_passed_over(tsdb: Served):
    await tsdb.put("m", 1)
    gateway = tsdb.scope.gateway
    assert isinstance(gateway, NaiveGateway)
    texts = Points.of_texts(np.array([(T + 5) * 1000]), [b"hello"])
    ref = gateway.resolve("default", "m", (("host", "a"),))
    await gateway.write(WriteBatch(np.array([ref], np.int32), texts.times_ms, texts.kinds, texts.bits, texts.texts))
    [got] = await results(tsdb, f"/api/query?{RANGE}&m=sum:m")
    assert got["dps"] == {str(T): 1}


class Limited(NaiveGateway):
    async def query(self, queries: Any, finish: Any, label: str = "") -> Any:
        raise LimitExceeded("the query would read more than 5 points: ask for a shorter range")


async def test_a_passed_limit_is_answered_in_the_dialects_shape():
    tsdb = await serve(Limited())
    try:
        await tsdb.put("m")
        status, data, headers = await tsdb.raw("GET", f"/api/query?{RANGE}&m=sum:m")
        assert status == 413
        assert b'"message":"the query would read more than 5 points' in data
        assert headers["reason"].startswith("the query would read more")
    finally:
        await tsdb.client.close()


async def test_the_echo_of_a_query_shows_filters_percentiles_and_bare_stars_as_the_original(tsdb: Served):
    await tsdb.put("m")

    async def echoed(path: str) -> dict[str, Any]:
        _, [answer] = await tsdb.ask("GET", f"/api/query?start={START_S}&end={START_S + 60}&show_query&{path}")
        query: dict[str, Any] = answer["query"]
        return query

    assert (await echoed("m=sum:m"))["filterTagKs"] is None
    grouped = await echoed("m=sum:m{host=a*}")
    assert (grouped["filterTagKs"], grouped["tags"]) == (["AAAB"], {"host": "wildcard(a*)"})
    assert grouped["filters"][0]["type"] == "wildcard"


async def test_an_override_that_is_no_delete_leaves_a_get_a_get(tsdb: Served):
    await tsdb.put("m")
    path = f"/api/query?start={START_S}&end={START_S + 60}&m=sum:m"
    assert await tsdb.ask("GET", f"{path}&method_override=put") == await tsdb.ask("GET", path)


async def test_a_delete_reads_the_query_string_only(tsdb: Served):
    body = {"start": START_S, "queries": [{"aggregator": "sum", "metric": "m"}]}
    status, answer = await tsdb.ask("DELETE", "/api/query", body)
    assert (status, answer["error"]["message"]) == (400, "Missing parameter <code>start</code>")


async def test_what_follows_the_json_of_a_body_is_not_looked_at_and_null_is_an_internal_error(tsdb: Served):
    await tsdb.put("m")
    body = (
        f'{{"start":{START_S},"end":{START_S + 60},"ms":true,"queries":[{{"aggregator":"sum","metric":"m"}}]}} and more'
    )
    status, [answer] = await tsdb.ask("POST", "/api/query", body.encode())
    assert (status, answer["dps"]) == (200, {str(START_S): 1})
    assert (await tsdb.ask("POST", "/api/query", b"null"))[0] == 500
