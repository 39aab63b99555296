"""`/q`: text, JSON and pictures."""

from __future__ import annotations

import struct

import pytest

from tests.protocols.opentsdb.served import START_S, Served

RANGE = f"start={START_S}&end={START_S + 600}"


async def filled(tsdb: Served) -> None:
    await tsdb.put("m", 1, START_S, host="a", dc="x")
    await tsdb.put("m", 2.5, START_S + 60, host="a", dc="x")
    await tsdb.put("m", 3, START_S + 120, host="a", dc="x")


async def test_text_has_a_line_for_each_point_with_tags_in_the_originals_order(tsdb: Served):
    await filled(tsdb)
    status, body, headers = await tsdb.raw("GET", f"/q?{RANGE}&m=sum:m&ascii")
    assert (status, headers["Content-Type"]) == (200, "text/plain")
    assert body.decode().splitlines() == [
        f"m {START_S} 1.0 host=a dc=x",
        f"m {START_S + 60} 2.5 host=a dc=x",
        f"m {START_S + 120} 3 host=a dc=x",
    ]


async def test_json_tells_of_the_graph(tsdb: Served):
    await filled(tsdb)
    _, answer = await tsdb.ask("GET", f"/q?{RANGE}&m=sum:m&json")
    assert (answer["plotted"], answer["points"], answer["etags"]) == (3, 3, [[]])


@pytest.mark.parametrize(
    "more", ["", "&title=T&ylabel=y&yrange=[0:]&nokey", "&ylog&yrange=[x:9]", "&title=$\\bad{$&ylabel=$x"]
)
async def test_a_picture_has_the_size_asked_for(tsdb: Served, more: str):
    await filled(tsdb)
    status, body, headers = await tsdb.raw("GET", f"/q?{RANGE}&m=sum:m{{host=*}}&png&wxh=320x200{more}")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert struct.unpack(">II", body[16:24]) == (320, 200)


async def test_without_a_form_a_page_shows_the_picture(tsdb: Served):
    await filled(tsdb)
    _, body, _ = await tsdb.raw("GET", f"/q?{RANGE}&m=sum:m")
    assert f'<img src="/q?start={START_S}&amp;end='.encode() in body
    assert b"(3 points plotted)" in body
    _, body, _ = await tsdb.raw("GET", f"/q?start={START_S - 90000}&end={START_S - 80000}&m=sum:m")
    assert b"No results" in body


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("m=sum:m&ascii", 400),
        (f"{RANGE}&m=sum:m{{&ascii", 400),
        (f"{RANGE}&ascii", 400),
        (f"{RANGE}&m=sum:nosuch&ascii", 500),
        ("start=abc&m=sum:m&ascii&json", 400),
        (f"{RANGE}&m=sum:m&png&wxh=99999x9", 400),
        (f"{RANGE}&m=sum:m&png&wxh=0x9", 400),
        (f"{RANGE}&m=sum:m&png&wxh=big", 400),
    ],
)
async def test_requests_that_are_not_right(tsdb: Served, query: str, status: int):
    await filled(tsdb)
    assert (await tsdb.ask("GET", f"/q?{query}"))[0] == status


async def test_text_has_all_points_of_the_rows_that_are_read_and_the_rest_those_in_range(tsdb: Served):
    for at in range(3):
        await tsdb.put("m", at, START_S + 60 * at, host="a")
    query = f"start={START_S + 60}&end={START_S + 90}&m=sum:m"
    _, text = await tsdb.ask("GET", f"/q?{query}&ascii")
    assert text.count("\n") == 3
    _, about = await tsdb.ask("GET", f"/q?{query}&json")
    assert about["points"] == 1


@pytest.mark.parametrize(
    ("query", "leads_to"), [("", "/"), ("?", "/"), ("?x", "/#x"), (f"?{RANGE}", f"/#{RANGE}"), ("?m=a", "/#m=a")]
)
async def test_without_a_form_and_a_query_browsers_are_led_to_the_first_page(tsdb: Served, query: str, leads_to: str):
    status, body, headers = await tsdb.raw("GET", f"/q{query}")
    assert (status, headers["Location"]) == (200, leads_to)
    assert f'content="0; url={leads_to.replace("&", "&amp;")}"' in body.decode()


@pytest.mark.parametrize("part", ["0all-sum", "3all-sum-nan"])
async def test_one_bucket_for_everything_is_not_drawn(tsdb: Served, part: str):
    await filled(tsdb)
    assert await tsdb.ask("GET", f"/q?{RANGE}&m=sum:{part}:m&ascii") == (200, "")


@pytest.mark.parametrize("part", ["percentiles[99]", "show-histogram-buckets"])
async def test_histograms_are_not_drawn(tsdb: Served, part: str):
    await filled(tsdb)
    plain = await tsdb.ask("GET", f"/q?{RANGE}&m=sum:m&ascii")
    assert await tsdb.ask("GET", f"/q?{RANGE}&m=sum:{part}:m&ascii") == plain
    assert (await tsdb.ask("GET", f"/q?{RANGE}&m=avg:{part}:m&ascii"))[0] == 400


async def test_dates_are_in_the_zone_asked_for_and_ranges_in_whole_seconds(tsdb: Served):
    await filled(tsdb)
    dates = "start=2012/12/31-19:00:00&end=2012/12/31-19:10:00&m=sum:m&json"
    _, there = await tsdb.ask("GET", f"/q?{dates}&tz=America/New_York")
    _, utc = await tsdb.ask("GET", f"/q?{dates}")
    assert (there["points"], utc["points"]) == (3, 0)
    status, _ = await tsdb.ask("GET", f"/q?start={START_S}100&end={START_S}900&m=sum:m&ascii")
    assert status == 400


@pytest.mark.parametrize(
    ("options", "status"), [("&o=axis", 200), ("&o=", 200), ("&o=a&o=b", 400), ("&o=%60x%60", 400), ("&o=%2560", 400)]
)
async def test_options_are_one_for_each_curve_and_hold_no_command(tsdb: Served, options: str, status: int):
    await filled(tsdb)
    assert (await tsdb.ask("GET", f"/q?{RANGE}&m=sum:m&ascii{options}"))[0] == status


async def test_text_leaves_out_what_is_no_number_and_any_method_is_served(tsdb: Served):
    await filled(tsdb)
    for method in ("GET", "POST", "DELETE"):
        _, body, _ = await tsdb.raw(method, f"/q?{RANGE}&m=sum:1m-avg-nan:m&ascii")
        assert [line.split()[1] for line in body.decode().splitlines()] == [str(START_S + at) for at in (0, 60, 120)]
