"""The newest points of series."""

from __future__ import annotations

import numpy as np
import pytest

from amondawa.protocols.opentsdb import telnet
from amondawa.protocols.opentsdb.last import WriteTimes
from tests.naive import NaiveGateway
from tests.protocols.line_gateways import talk
from tests.protocols.opentsdb.served import Served, one_long, serve

NOW_S = 1_700_000_000
HOUR_S = 3600


async def at_now() -> tuple[Served, list[int]]:
    clock = [NOW_S * 1000]
    return await serve(NaiveGateway(lambda: clock[0])), clock


async def test_the_newest_point_of_each_series_is_found_by_some_of_its_tags():
    tsdb, _ = await at_now()
    await tsdb.put("m", 1, NOW_S - 9, host="a", dc="x")
    await tsdb.put("m", 2, NOW_S - 5, host="a", dc="x")
    await tsdb.put("m", 2.5, NOW_S - 7, host="b", dc="x")
    _, answer = await tsdb.ask("GET", "/api/query/last?timeseries=m{dc=x}&resolve")
    assert [(one["timestamp"], one["value"], one["tags"]["host"]) for one in answer] == [
        ((NOW_S - 5) * 1000, "2", "a"),
        ((NOW_S - 7) * 1000, "2.5", "b"),
    ]
    asked = {"queries": [{"metric": "m", "tags": {"host": "b"}}], "resolveNames": False}
    _, answer = await tsdb.ask("POST", "/api/query/last", asked)
    assert [sorted(one) for one in answer] == [["timestamp", "tsuid", "value"]]
    _, again = await tsdb.ask("GET", f"/api/query/last?tsuids={answer[0]['tsuid']},{answer[0]['tsuid']}")
    assert again == answer * 2
    await tsdb.client.close()


async def test_a_point_written_now_for_long_ago_is_not_found():
    tsdb, _ = await at_now()
    await tsdb.put("m", 1, NOW_S - 5 * HOUR_S, host="a")
    assert await tsdb.ask("GET", "/api/query/last?timeseries=m{host=a}") == (200, [])
    assert await tsdb.ask("GET", "/api/query/last?timeseries=m{host=a}&back_scan=3") == (200, [])
    assert len((await tsdb.ask("GET", "/api/query/last?timeseries=m{host=a}&back_scan=6"))[1]) == 1
    await tsdb.client.close()


async def test_lines_note_when_series_are_written_too():
    tsdb, clock = await at_now()
    lines = "".join(f"put m {NOW_S - hours * HOUR_S} 1 host={host}\n" for hours, host in ((5, "a"), (0, "b")))
    await talk(telnet.session(tsdb.scope), lines.encode())
    assert await tsdb.ask("GET", "/api/query/last?timeseries=m{host=a}") == (200, [])
    clock[0] += 3 * HOUR_S * 1000
    assert len((await tsdb.ask("GET", "/api/query/last?timeseries=m{host=b}"))[1]) == 1
    await tsdb.client.close()


async def test_a_series_that_fell_silent_keeps_its_last_point():
    tsdb, clock = await at_now()
    await tsdb.put("m", 1, NOW_S, host="a")
    clock[0] += 40 * HOUR_S * 1000
    assert len((await tsdb.ask("GET", "/api/query/last?timeseries=m"))[1]) == 1
    await tsdb.client.close()


async def test_a_later_write_by_another_protocol_is_found():
    tsdb, _ = await at_now()
    await tsdb.put("m", 1, NOW_S, host="a")
    gateway = tsdb.scope.gateway
    await gateway.write(one_long(gateway.resolve("default", "m", (("host", "a"),)), 7, NOW_S + 9 * HOUR_S))
    _, answer = await tsdb.ask("GET", "/api/query/last?timeseries=m")
    assert answer[0]["value"] == "7"
    await tsdb.client.close()


async def test_looking_back_wants_the_exact_tags():
    tsdb, _ = await at_now()
    await tsdb.put("m", 1, NOW_S, host="a", dc="x")
    assert await tsdb.ask("GET", "/api/query/last?timeseries=m{host=a}&back_scan=2") == (200, [])
    assert len((await tsdb.ask("GET", "/api/query/last?timeseries=m{host=a,dc=x}&back_scan=2"))[1]) == 1
    assert (await tsdb.ask("GET", "/api/query/last?timeseries=m&back_scan=2"))[0] == 400
    await tsdb.client.close()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10_000_000_000.0, "1.0E10"),
        (0.1, "0.1"),
        (0.10000000149011612, "0.1"),
        (3.0, "3.0"),
        (-8, "-8"),
        (1e300, "1.0E300"),
    ],
)
async def test_values_are_text_as_java_prints_them(value: float, text: str):
    tsdb, _ = await at_now()
    await tsdb.put("m", value, NOW_S)
    _, answer = await tsdb.ask("GET", "/api/query/last?timeseries=m")
    assert answer[0]["value"] == text
    await tsdb.client.close()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "Missing sub queries"),
        ("?timeseries=nosuch", "No such name for 'metrics': 'nosuch'"),
        ("?timeseries=m{nosuch=a}", "No such name for 'tagk': 'nosuch'"),
        ("?timeseries=m{host=nosuch}", "No such name for 'tagv': 'nosuch'"),
        ("?timeseries=m&back_scan=abc", "Unable to parse back_scan parameter"),
        ("?timeseries=m&back_scan=", "Unable to parse back_scan parameter"),
        ("?timeseries=m&back_scan=-1", "Backscan must be zero or a positive number"),
        ("?timeseries=nosuch&back_scan=-1", "No such name for 'metrics': 'nosuch'"),
        ("?tsuids=zz&back_scan=-1", "contains illegal character for hexBinary: zz"),
        ("?tsuids=FFFFFF000001000001&back_scan=-1", "Backscan must be zero or a positive number"),
        ("?timeseries=&back_scan=-1", "Metric cannot be null or empty"),
        ("?timeseries=m&back_scan=2", "Tags cannot be null or empty when getting a TSUID"),
        ("?timeseries=", "Metric cannot be null or empty"),
        ("?tsuids=xyz", "contains illegal character for hexBinary: 0xyz"),
        ("?tsuids=", "UID was empty"),
        ("?tsuids=000001", "TSUID must not be null and must have a metric and at least one tag pair"),
        ("?tsuids=0000FF000001000001", "No such unique ID for 'metrics': [0, 0, -1]"),
    ],
)
async def test_what_is_not_right_is_refused(tsdb: Served, path: str, message: str):
    await tsdb.put("m")
    status, answer = await tsdb.ask("GET", f"/api/query/last{path}")
    assert (status, answer["error"]["message"]) == (400, message)


async def test_a_time_series_that_does_not_parse_is_an_internal_error(tsdb: Served):
    for text, message in (("m{", "Missing '}' at the end of: m{"), ("m{a}", "When parsing tag 'a': invalid tag: a")):
        status, answer = await tsdb.ask("GET", f"/api/query/last?timeseries={text}")
        assert (status, answer["error"]["message"]) == (500, message)


async def test_ids_without_a_name_go_unnoticed_when_looking_back(tsdb: Served):
    assert await tsdb.ask("GET", "/api/query/last?tsuids=0000FF000001000001&back_scan=2") == (200, [])


async def test_a_delete_is_answered_like_a_get_and_fields_must_be_known(tsdb: Served):
    await tsdb.put("m")
    got = await tsdb.ask("GET", "/api/query/last?timeseries=m")
    assert await tsdb.ask("DELETE", "/api/query/last?timeseries=m") == got
    assert (await tsdb.ask("POST", "/api/query/last", {"queries": [{"metric": "m"}], "bogus": 1}))[0] == 400
    assert (await tsdb.ask("POST", "/api/query/last", b"null"))[0] == 500


def test_times_of_writes_grow_with_the_series():
    times = WriteTimes()
    assert times.hour_ms(5) is None
    times.note(np.array([5, 90_000], np.int32), NOW_S * 1000)
    hour_ms = NOW_S // HOUR_S * HOUR_S * 1000
    assert (times.hour_ms(5), times.hour_ms(90_000)) == (hour_ms, hour_ms)
    assert (times.hour_ms(6), times.hour_ms(10**7)) == (None, None)
    times.note(np.array([], np.int32), 0)
