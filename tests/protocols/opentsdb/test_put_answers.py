"""Answers of /api/put when points cannot be kept, and when bad ones stand among many."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amondawa.errors import Overloaded, StorageFull, TooOld
from amondawa.model.points import WriteBatch
from tests.naive import NaiveGateway
from tests.protocols.opentsdb.served import START_S, Served, serve
from tests.protocols.opentsdb.test_put import GOOD


class Refusing(NaiveGateway):
    """A gateway whose writes fail."""

    error: Exception = Overloaded("full", 7)

    async def write(self, batch: WriteBatch) -> None:
        raise self.error


@pytest.mark.parametrize("error", [Overloaded("full", 7), StorageFull("full", 7)])
async def test_a_write_that_cannot_be_kept_says_when_to_try_again(error: Exception):
    gateway = Refusing()
    gateway.error = error
    tsdb = await serve(gateway)
    for body in ([GOOD], [GOOD, {**GOOD, "value": "x"}]):
        status, data, headers = await tsdb.raw("POST", "/api/put?details", body)
        assert (status, headers["Retry-After"], headers["reason"]) == (503, "7", "full")
        assert json.loads(data)["error"] == {"code": 503, "message": "full"}
    await tsdb.client.close()


async def test_a_point_older_than_the_history_is_reported():
    gateway = Refusing()
    gateway.error = TooOld("older than the history", index=1)
    tsdb = await serve(gateway)
    later = {**GOOD, "timestamp": START_S + 1}
    status, answer = await tsdb.ask("POST", "/api/put?details", [GOOD, later])
    assert (status, answer["success"], answer["failed"]) == (400, 1, 1)
    assert answer["errors"][0]["datapoint"]["timestamp"] == START_S + 1
    status, answer = await tsdb.ask("POST", "/api/put?details", [{**GOOD, "value": "x"}, GOOD, later])
    assert [one["error"] for one in answer["errors"]] == ["Unable to parse value to a number", "older than the history"]
    await tsdb.client.close()


async def test_an_error_nobody_expected_is_logged_and_hides_its_trace(capsys: pytest.CaptureFixture[str]):
    gateway = Refusing()
    gateway.error = RuntimeError("secret place")
    tsdb = await serve(gateway)
    status, data, _ = await tsdb.raw("POST", "/api/put", GOOD)
    assert status == 500
    assert b"secret" not in data
    assert b"trace" not in data
    await tsdb.client.close()


async def test_bad_points_among_many_are_told_apart(tsdb: Served):
    def point(at: int) -> Any:
        return {"metric": "many", "timestamp": START_S + at, "value": at, "tags": {"host": f"h{at % 7}"}}

    points = [point(at) for at in range(200)]
    points[3] = None
    points[40]["value"] = "abc"
    points[41]["metric"] = "never seen"
    points[77]["timestamp"] = f" {START_S + 77}"  # unusual, but good
    points[199]["tags"] = {}
    status, answer = await tsdb.ask("POST", "/api/put?details", points)
    assert (status, answer["success"], answer["failed"]) == (400, 196, 4)
    assert [one["error"] for one in answer["errors"]] == [
        "Unexpected null datapoint encountered in set.",
        "Unable to parse value to a number",
        'Invalid metric name ("never seen"): illegal character:  ',
        "Missing tags",
    ]
    assert answer["errors"][1]["datapoint"]["timestamp"] == START_S + 40
    _, (stored,) = await tsdb.ask("GET", f"/api/query?start={START_S - 9}&m=zimsum:many")
    assert [int(at) - START_S for at in stored["dps"]] == [at for at in range(199) if at not in (3, 40, 41)]


async def test_a_body_with_something_that_is_no_point_stores_nothing(tsdb: Served):
    points: list[Any] = [{"metric": "m", "timestamp": START_S, "value": 1, "tags": {"a": "b"}} for _ in range(50)]
    assert (await tsdb.ask("POST", "/api/put", [*points, 5]))[0] == 400
    assert await tsdb.ask("GET", "/api/suggest?type=metrics") == (200, [])


async def test_the_later_of_two_values_wins_whichever_way_each_was_read(tsdb: Served):
    points = [
        {"metric": "m", "timestamp": f" {START_S}" if at == 5 else START_S, "value": at, "tags": {"a": "b"}}
        for at in range(10)
    ]
    assert (await tsdb.ask("POST", "/api/put", points))[0] == 204
    _, (stored,) = await tsdb.ask("GET", f"/api/query?start={START_S - 9}&m=sum:m")
    assert stored["dps"] == {str(START_S): 9}


async def test_a_point_with_a_bad_value_gives_no_ids(tsdb: Served):
    await tsdb.ask("POST", "/api/put", {"metric": "bad", "timestamp": START_S, "value": "1x", "tags": {"a": "b"}})
    assert (await tsdb.ask("GET", "/api/uid/assign?metric=bad"))[0] == 200


async def test_a_body_of_mostly_bad_points_is_reported_in_order(tsdb: Served):
    points = [{"metric": "m", "timestamp": START_S + at, "value": f"x{at}", "tags": {"a": "b"}} for at in range(150)]
    points[100]["value"] = 1
    status, answer = await tsdb.ask("POST", "/api/put?details", points)
    assert (status, answer["success"]) == (400, 1)
    assert [one["datapoint"]["value"] for one in answer["errors"]] == [f"x{at}" for at in range(150) if at != 100]
