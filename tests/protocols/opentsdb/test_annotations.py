"""Annotations: one, several, and how long they are remembered."""

from __future__ import annotations

from typing import Any

import pytest

from amondawa.protocols.opentsdb.notes import Note, Notes
from tests.naive import NaiveGateway
from tests.protocols.opentsdb.served import START_S, Served

WIRE = {"tsuid": "", "description": "d", "notes": "", "startTime": 100, "endTime": 0}


async def test_a_post_merges_and_a_put_replaces(tsdb: Served):
    path = "/api/annotation"
    assert await tsdb.ask("POST", path, {"startTime": 100, "description": "d"}) == (200, WIRE)
    merged = {**WIRE, "custom": {"k": "v"}, "endTime": 160}
    asked = {"startTime": "100", "endTime": 160, "custom": {"k": "v"}}
    assert await tsdb.ask("POST", path, asked) == (200, merged)
    assert await tsdb.ask("GET", f"{path}?start_time=100") == (200, merged)
    assert await tsdb.ask("PUT", path, {"startTime": 100, "description": "d"}) == (200, WIRE)
    assert await tsdb.ask("DELETE", path, {"startTime": 100}) == (204, "")
    status, answer = await tsdb.ask("GET", f"{path}?start_time=100")
    assert (status, answer["error"]["message"]) == (404, "Unable to locate annotation in storage")


async def test_a_post_that_says_nothing_changes_nothing(tsdb: Served):
    assert await tsdb.ask("POST", "/api/annotation", {"startTime": 100, "description": ""}) == (304, "")


async def test_a_second_and_the_same_in_milliseconds_are_two_annotations_and_query_strings_find_the_second(
    tsdb: Served,
):
    ms = 1_294_140_000_000
    await tsdb.ask("POST", "/api/annotation", {"startTime": ms, "description": "ms"})
    assert (await tsdb.ask("GET", f"/api/annotation?start_time={ms}"))[0] == 404
    await tsdb.ask("POST", "/api/annotation", {"startTime": ms // 1000, "description": "s"})
    _, answer = await tsdb.ask("GET", f"/api/annotation?start_time={ms}")
    assert (answer["startTime"], answer["description"]) == (ms // 1000, "s")
    _, answer = await tsdb.ask("POST", "/api/annotation", {"startTime": ms, "notes": "n"})
    assert (answer["startTime"], answer["description"]) == (ms, "ms")


async def test_global_annotations_of_a_range_are_listed(tsdb: Served):
    for start in (7200, 10_000, 20_000):
        await tsdb.ask("POST", "/api/annotation", {"startTime": start, "endTime": start + 5, "notes": "n"})

    async def starts(query: str) -> list[int]:
        status, answer = await tsdb.ask("GET", f"/api/annotations?{query}")
        assert status == 200
        return [one["startTime"] for one in answer]

    assert await starts("start_time=7200") == [7200, 10_000, 20_000]
    assert await starts("start_time=7201&end_time=10005") == [10_000]
    assert await starts("start_time=7200&end_time=10004") == [7200]
    assert (await tsdb.ask("GET", "/api/annotations?start_time=9&end_time=8"))[0] == 500


async def test_milliseconds_within_a_second_are_an_annotation_of_their_own(tsdb: Served):
    await tsdb.ask("POST", "/api/annotation", {"startTime": 1_294_140_000_250, "description": "ms"})
    assert (await tsdb.ask("GET", "/api/annotation?start_time=1294140000"))[0] == 404


async def test_a_text_that_is_null_is_no_longer_shown(tsdb: Served):
    await tsdb.ask("POST", "/api/annotation", {"startTime": 100, "description": "d", "notes": "n"})
    _, answer = await tsdb.ask("POST", "/api/annotation", {"startTime": 100, "description": None})
    assert answer == {"tsuid": "", "notes": "n", "startTime": 100, "endTime": 0}


@pytest.mark.parametrize(("method", "status"), [("GET", 500), ("POST", 400), ("PUT", 400), ("DELETE", 400)])
async def test_what_is_no_tsuid_is_refused(tsdb: Served, method: str, status: int):
    body = None if method == "GET" else {"startTime": 100, "tsuid": "xx", "description": "d"}
    got, answer = await tsdb.ask(method, "/api/annotation?start_time=100&tsuid=xx", body)
    problem = "contains illegal character for hexBinary: xx"
    problem = f"java.lang.IllegalArgumentException: {problem}" if status == 500 else problem
    assert (got, problem in answer["error"].values()) == (status, True)


async def test_global_annotations_are_listed_empty_when_all_in_the_hours_lie_outside_the_range(tsdb: Served):
    await tsdb.put("m", 1, START_S)
    await tsdb.ask("POST", "/api/annotation", {"startTime": START_S + 600, "description": "later in the hour"})

    async def shown(start_s: int, end_s: int) -> object:
        path = f"/api/query?start={start_s}&end={end_s}&m=sum:m&global_annotations"
        _, [answer] = await tsdb.ask("GET", path)
        return answer.get("globalAnnotations")

    assert await shown(START_S, START_S + 60) == []
    assert len(await shown(START_S, START_S + 600)) == 1  # type: ignore[arg-type]
    assert await shown(START_S + 601, START_S + 700) is None
    await tsdb.ask("POST", "/api/annotation", {"startTime": START_S + 600, "endTime": START_S + 900})
    assert await shown(START_S, START_S + 800) is None


async def test_annotations_of_a_series_are_apart_from_global_ones(tsdb: Served):
    await tsdb.ask("POST", "/api/annotation", {"startTime": 100, "tsuid": "000001000001000001", "notes": "n"})
    assert (await tsdb.ask("GET", "/api/annotation?start_time=100"))[0] == 404
    assert (await tsdb.ask("GET", "/api/annotation?start_time=100&tsuid=000001000001000001"))[0] == 200


async def test_a_range_is_deleted_with_both_its_ends(tsdb: Served):
    many = [{"startTime": start, "description": "x"} for start in (100, 110, 120, 130)]
    assert len((await tsdb.ask("POST", "/api/annotation/bulk", many))[1]) == 4
    asked = {"global": True, "startTime": "110", "endTime": "120"}
    _, answer = await tsdb.ask("DELETE", "/api/annotation/bulk", asked)
    assert answer == {"tsuids": None, "global": True, "startTime": 110000, "endTime": 120000, "totalDeleted": 2}
    for start, status in ((100, 200), (110, 404), (120, 404), (130, 200)):
        assert (await tsdb.ask("GET", f"/api/annotation?start_time={start}"))[0] == status
    _, answer = await tsdb.ask("DELETE", "/api/annotation/bulk?tsuids=00,%2001&start_time=1")
    assert (answer["tsuids"], answer["global"], answer["totalDeleted"]) == (["00", "01"], False, 0)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "", None, 400, "Missing start time"),
        ("DELETE", "", None, 400, "Missing start time"),
        ("DELETE", "", {"notes": "x"}, 400, "Unable to delete Annotation information"),
        ("POST", "", {"description": "x"}, 400, "The start timestamp has not been set"),
        ("POST", "", {"startTime": -5, "description": "x"}, 400, "The start timestamp has not been set"),
        ("POST", "", b"nonsense", 500, "Unable to parse the given JSON"),
        ("POST", "", {"startTime": [], "description": "x"}, 500, "Unable to parse the given JSON"),
        ("POST", "/bulk", [None], 500, "An internal null pointer exception was thrown"),
        ("DELETE", "/bulk?tsuids=&start_time=5", None, 400, "UID was empty"),
        ("POST", "/bulk", {"startTime": 5}, 400, "Unable to parse the given JSON"),
        ("POST", "/bulk", [{"notes": "x"}], 400, "The start timestamp has not been set"),
        ("POST", "/bulk", None, 400, "Missing message content"),
        ("DELETE", "/bulk", {"global": True}, 400, "Missing the start time value"),
        ("DELETE", "/bulk", {"startTime": "1h-ago"}, 400, "Missing the TSUIDs or global annotations flag"),
        ("DELETE", "/bulk?global", None, 400, "Missing parameter <code>start_time</code>"),
        ("GET", "/bulk", None, 405, "Method not allowed"),
        (
            "DELETE",
            "/bulk?global&start_time=20&end_time=10",
            None,
            400,
            "The end timestamp cannot be less than the start timestamp",
        ),
    ],
)
async def test_requests_that_are_not_right(tsdb: Served, method: str, path: str, body: Any, status: int, message: str):
    got, answer = await tsdb.ask(method, f"/api/annotation{path}", body)
    assert (got, answer["error"]["message"]) == (status, message)


async def test_a_time_that_is_none_is_an_internal_error(tsdb: Served):
    assert (await tsdb.ask("GET", "/api/annotation?start_time=abc"))[0] == 500


async def test_own_writes_are_seen_at_once_and_in_order_of_time():
    notes = Notes(NaiveGateway(), "d")
    assert await notes.between("", 0, 10**15) == []
    for start in (300, 100, 200):
        await notes.put(Note(start_time=start, notes="n"))
    assert [note.start_time for note in await notes.between("", 100_000, 200_000)] == [100, 200]
    await notes.delete("", 100)
    assert [note.start_time for note in await notes.between("", 0, 10**15)] == [200, 300]
