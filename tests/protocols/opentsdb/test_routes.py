"""What surrounds every endpoint: paths, versions, methods, CORS, JSONP, errors."""

from __future__ import annotations

import json
from html import escape

import pytest

from amondawa.protocols.opentsdb.config import AGGREGATORS
from amondawa.protocols.opentsdb.errors import reason_phrase
from amondawa.protocols.opentsdb.paths import usual
from amondawa.protocols.opentsdb.routes import path_pattern
from tests.protocols.opentsdb.served import START_S, Served, serve

NOT_FOUND = {"error": {"code": 404, "message": "Endpoint not found"}}


@pytest.mark.parametrize(
    "path",
    [
        "/api/aggregators",
        "/api/aggregators/",
        "/api/aggregators/more/words",
        "/api/v1/aggregators",
        "/api/v1/aggregators/",
        "/aggregators",
        "/domains/default/api/aggregators",
        "/domains/other/aggregators",
    ],
)
async def test_a_path_leads_by_its_first_words(tsdb: Served, path: str):
    assert await tsdb.ask("GET", path) == (200, list(AGGREGATORS))


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nosuch", "/api/v1", "/api/v1/nosuch", "/api/aggregatorsx", "/api/serializers"]
)
async def test_api_paths_that_lead_nowhere_say_so_in_json(tsdb: Served, path: str):
    assert await tsdb.ask("GET", path) == (404, NOT_FOUND)


async def test_other_paths_that_lead_nowhere_give_a_page(tsdb: Served):
    status, body, headers = await tsdb.raw("GET", "/nosuch")
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=UTF-8")
    assert b"Page Not Found" in body


@pytest.mark.parametrize("path", ["/api/v2/aggregators", "/api/v2/put", "/api/v10/nosuch"])
async def test_later_versions_of_the_api_are_not_implemented(tsdb: Served, path: str):
    status, answer = await tsdb.ask("GET", path)
    assert status == 501
    assert answer["error"]["message"] == "Requested API version is greater than the max implemented"


@pytest.mark.parametrize("version", ["1x", "99999999999"])
async def test_a_version_that_is_no_number_is_refused(tsdb: Served, version: str):
    status, answer = await tsdb.ask("GET", f"/api/v{version}/aggregators")
    details = f"API version [{version}] cannot be parsed to an integer"
    assert (status, answer["error"]["details"]) == (400, details)


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/", "/api/v2/aggregators", "/api/v2/nosuch"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize("origin", ["", "http://app.example.com", "http://evil.example.com"])
async def test_the_version_is_looked_at_before_the_origin(tsdb: Served, path: str, method: str, origin: str):
    status, body, headers = await tsdb.raw(method, path, Origin=origin)
    assert (status, "Access-Control-Allow-Origin" in headers) == (501, False)
    assert json.loads(body)["error"]["details"] == "API version [2] is greater than the max [1]"


async def test_the_serializer_is_looked_at_before_the_origin(tsdb: Served):
    status, _, headers = await tsdb.raw("OPTIONS", "/api/version?serializer=x", Origin="http://app.example.com")
    assert (status, "Access-Control-Allow-Origin" in headers) == (400, False)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/API/Version", 200),
        ("/api/VERSION/more", 200),
        ("/api/V1/Aggregators", 200),
        ("/Version", 200),
        ("/api//version", 404),
        ("/API/nosuch", 404),
        ("/NoSuch", 404),
    ],
)
async def test_leading_words_are_taken_in_any_case(tsdb: Served, path: str, status: int):
    assert (await tsdb.ask("GET", path))[0] == status


def test_a_path_that_begins_with_an_empty_word_leads_to_the_home_page():
    assert [usual(path) for path in ("//version", "/", "/API/V1/Put/X", "/S/X.css")] == [
        "/", "/", "/api/v1/put/X", "/s/X.css"
    ]  # fmt: skip


async def test_points_are_taken_at_a_path_in_capitals(tsdb: Served):
    point = {"metric": "m", "timestamp": START_S, "value": 1, "tags": {"host": "a"}}
    assert await tsdb.ask("POST", "/api/PUT?details", point) == (200, {"success": 1, "failed": 0, "errors": []})


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/version", "text/plain"),
        ("/logs", "text/plain"),
        ("/aggregators", "application/json"),
        ("/suggest?type=metrics", "application/json"),
        ("/version/x.css", "text/css"),
        ("/s/a.js", "text/javascript"),
        ("/s/a.gif", "image/gif"),
        ("/s/a", "application/json"),
        ("/favicon.ico", "image/x-icon"),
        ("/nosuch.png", "image/png"),
        ("/nosuch.html?x.css", "text/html; charset=UTF-8"),
        ("/nosuch", "text/html; charset=UTF-8"),
        ("/nosuch?json", "application/json"),
        ("/domains/a/s/a.css", "text/css"),
        ("/.js", "text/html; charset=UTF-8"),
        ("/api/version.js", "application/json; charset=UTF-8"),
    ],
)
async def test_outside_the_api_types_are_guessed_by_ending_or_first_byte(tsdb: Served, path: str, content_type: str):
    assert (await tsdb.raw("GET", path))[2]["Content-Type"] == content_type


@pytest.mark.parametrize("path", ["/api/version", "/version", "/nosuch", "/s/a.css"])
async def test_a_permitted_options_request_is_told_no_type(tsdb: Served, path: str):
    status, body, headers = await tsdb.raw("OPTIONS", path, Origin="http://app.example.com")
    assert (status, body, "Content-Type" in headers) == (200, b"", False)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/q", "/"),
        ("/q?", "/"),
        ("/q?start=1h-ago", "/#start=1h-ago"),
        ("/q/x", "/#x"),
        ("/domains/a/q", "/domains/a/"),
        ("/domains/a/q?m=sum:x", "/domains/a/#m=sum:x"),
    ],
)
async def test_a_browser_that_asks_for_no_graph_yet_is_led_home(tsdb: Served, path: str, location: str):
    status, body, headers = await tsdb.raw("GET", path)
    assert (status, headers["Location"]) == (200, location)
    assert body.decode() == f'<html></head><meta http-equiv="refresh" content="0; url={location}"></head></html>'


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/aggregators"),
        ("PUT", "/api/config"),
        ("DELETE", "/api/stats"),
        ("POST", "/api/dropcaches"),
        ("DELETE", "/api/suggest"),
        ("GET", "/api/histogram"),
        ("GET", "/api/rollup"),
        ("DELETE", "/api/uid/assign"),
        ("PATCH", "/api/annotation?start_time=1"),
        ("PATCH", "/api/uid/uidmeta"),
        ("PATCH", "/api/uid/tsmeta"),
    ],
)
async def test_a_method_that_an_endpoint_does_not_serve_gets_405(tsdb: Served, method: str, path: str):
    status, answer = await tsdb.ask(method, path)
    assert status == 405
    assert answer["error"]["message"] == "Method not allowed"
    assert answer["error"]["details"] == f"The HTTP method [{method}] is not permitted for this endpoint"


async def test_an_override_is_honoured_where_the_original_does(tsdb: Served):
    assert (await tsdb.ask("GET", "/api/aggregators?method_override=delete"))[0] == 200
    assert (await tsdb.ask("GET", "/api/put?method_override=post"))[0] == 405
    assert (await tsdb.ask("GET", "/api/annotation?start_time=5&description=x&method_override=post"))[0] == 200
    assert (await tsdb.ask("GET", "/api/annotation?start_time=5&method_override=foo"))[0] == 405
    assert (await tsdb.ask("GET", "/api/annotation?start_time=5&method_override"))[0] == 405


async def test_a_callback_wraps_answers_and_errors_alike(tsdb: Served):
    assert (await tsdb.raw("GET", "/api/suggest?type=metrics&jsonp=my.cb"))[1] == b"my.cb([])"
    status, body, headers = await tsdb.raw("GET", "/api/nosuch?jsonp=cb")
    assert (status, headers["Content-Type"]) == (404, "application/json; charset=UTF-8")
    assert body == b'cb({"error":{"code":404,"message":"Endpoint not found"}})'
    assert (await tsdb.raw("GET", "/version?jsonp=cb"))[1].startswith(b"net.opentsdb")


async def test_an_origin_on_the_list_is_allowed_without_regard_to_case(tsdb: Served):
    for origin in ("http://app.example.com", "HTTP://OTHER.example.com"):
        status, _, headers = await tsdb.raw("GET", "/api/aggregators", Origin=origin)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)
        status, body, headers = await tsdb.raw("OPTIONS", "/api/query", Origin=origin)
        assert (status, body, headers["Access-Control-Allow-Methods"]) == (200, b"", "GET, POST, PUT, DELETE")


async def test_an_origin_that_is_not_on_the_list_gets_an_error_which_is_200_below_api(tsdb: Served):
    for method in ("GET", "OPTIONS"):
        status, _, headers = await tsdb.raw(method, "/api/aggregators", Origin="http://evil.example.com")
        assert status == 200
        assert "Access-Control-Allow-Origin" not in headers
    _, answer = await tsdb.ask("GET", "/api/nosuch", Origin="http://evil.example.com")
    assert answer["error"]["message"] == "CORS domain not allowed"
    status, page = await tsdb.ask("GET", "/version", Origin="http://evil.example.com")
    assert (status, "CORS domain not allowed" in page) == (400, True)


async def test_options_need_an_origin_and_a_list():
    tsdb = await serve()
    assert (await tsdb.ask("OPTIONS", "/api/query"))[0] == 405
    await tsdb.client.close()
    from amondawa.settings import Settings

    plain = await serve(settings=Settings())
    assert (await plain.ask("OPTIONS", "/api/query", Origin="http://app.example.com"))[0] == 405
    status, _, headers = await plain.raw("GET", "/api/aggregators", Origin="http://app.example.com")
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers
    await plain.client.close()


async def test_the_reason_phrase_carries_the_cause(tsdb: Served):
    _, _, headers = await tsdb.raw("GET", "/api/suggest?type=foo")
    assert headers["reason"] == "Invalid 'type' parameter:foo"


def test_a_reason_phrase_is_one_short_line_of_ascii():
    assert reason_phrase("a\r\nSet-Cookie: x\u00fc") == "a??Set-Cookie: x?"
    assert len(reason_phrase("x" * 9999)) == 200


async def test_errors_outside_the_api_are_pages_or_json_by_parameter(tsdb: Served):
    status, body, _ = await tsdb.raw("GET", "/suggest?type=<b>")
    assert status == 400
    assert b"&lt;b&gt;" in body
    assert await tsdb.ask("GET", "/suggest?type=foo&json") == (400, {"err": "Invalid 'type' parameter:foo"})


@pytest.mark.parametrize("path", ["/s/nosuch.js", "/favicon.ico"])
async def test_there_are_no_static_files(tsdb: Served, path: str):
    assert (await tsdb.ask("GET", path))[0] == 404


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/s", 400, "URI too short <code>/s</code>"),
        ("/s?x", 404, None),
        ("/s/x?..", 400, "Malformed URI <code>/s/x?..</code>"),
        ("/domains/a/s", 400, "URI too short <code>/s</code>"),
    ],
)
async def test_static_paths_are_looked_at_as_they_are_written(tsdb: Served, path: str, status: int, says: str | None):
    got, body, _ = await tsdb.raw("GET", path)
    assert got == status
    assert says is None or escape(says).encode() in body


async def test_the_home_page_names_what_it_is(tsdb: Served):
    status, body, headers = await tsdb.raw("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=UTF-8")
    assert b"OpenTSDB" in body
    assert (await tsdb.ask("GET", "/logs?json")) == (200, [])


def test_patterns_take_versions_only_below_the_api():
    assert path_pattern("q") == "/q{tail:(/.*)?}"
    assert path_pattern("api/put").startswith("/api{version:")


async def test_domains_do_not_see_one_another(tsdb: Served):
    point = {"metric": "mine", "timestamp": 5, "value": 1, "tags": {"host": "a"}}
    assert (await tsdb.ask("POST", "/domains/one/api/put", point))[0] == 204
    assert await tsdb.ask("GET", "/domains/one/api/suggest?type=metrics") == (200, ["mine"])
    assert await tsdb.ask("GET", "/domains/two/api/suggest?type=metrics") == (200, [])
    assert await tsdb.ask("GET", "/api/suggest?type=metrics", X_Amondawa_Domain="one") == (200, ["mine"])


# the server about itself ------------------------------------------------------------------------------------------


async def test_versions_are_json_below_the_api_and_text_outside(tsdb: Served):
    for method in ("GET", "POST"):
        status, answer = await tsdb.ask(method, "/api/version", Content_Encoding="gzip")
        assert (status, answer["version"], answer["repo_status"]) == (200, "2.4.0", "MINT")
    status, text = await tsdb.ask("GET", "/version")
    assert " built at revision " in text


async def test_every_value_of_the_configuration_is_text(tsdb: Served):
    status, answer = await tsdb.ask("GET", "/api/config")
    assert status == 200
    assert answer["tsd.mode"] == "rw"
    assert answer["tsd.http.query.allow_delete"] == "true"
    assert all(isinstance(value, str) for value in answer.values())
    _, filters = await tsdb.ask("GET", "/api/config/filters")
    assert set(filters["regexp"]) == {"examples", "description"}


async def test_caches_can_be_dropped_by_get_and_delete(tsdb: Served):
    for method in ("GET", "DELETE"):
        assert await tsdb.ask(method, "/api/dropcaches") == (200, {"message": "Caches dropped", "status": "200"})
    assert (await tsdb.ask("GET", "/dropcaches"))[0] == 404


async def test_a_serializer_must_be_the_one_for_json(tsdb: Served):
    assert (await tsdb.ask("GET", "/api/aggregators?serializer=json"))[0] == 200
    status, answer = await tsdb.ask("GET", "/api/aggregators?serializer=xml")
    details = "Could not find a serializer with the name: xml"
    assert (status, answer["error"]["details"]) == (400, details)
    assert (await tsdb.ask("GET", "/aggregators?serializer=xml"))[0] == 400


async def test_outside_the_api_a_wrong_method_is_a_bad_request(tsdb: Served):
    assert (await tsdb.ask("PUT", "/aggregators"))[0] == 400
    assert (await tsdb.ask("PUT", "/api/aggregators"))[0] == 405


async def test_the_last_of_several_values_of_a_parameter_counts(tsdb: Served):
    assert await tsdb.ask("GET", "/api/suggest?type=tagk&type=metrics&q=zz&jsonp=a&jsonp=b") == (200, "b([])")


async def test_statistics_are_points_or_lines(tsdb: Served):
    await tsdb.put("m")
    _, points = await tsdb.ask("GET", "/api/stats")
    written = next(one for one in points if one["metric"] == "tsd.points_written")
    assert (written["value"], written["tags"]) == ("1", {"domain": "default"})
    _, text = await tsdb.ask("GET", "/stats")
    assert any(line.startswith("tsd.points_written ") for line in text.splitlines())
    _, lines = await tsdb.ask("GET", "/stats?json")
    assert any(line.startswith("tsd.points_written ") and line.endswith("domain=default") for line in lines)


async def test_outside_the_api_suggestions_are_asked_for_by_parameters_whatever_the_method(tsdb: Served):
    await tsdb.put("m")
    assert await tsdb.ask("POST", "/suggest?type=metrics") == (200, ["m"])
    assert (await tsdb.ask("POST", "/api/suggest?type=metrics"))[0] == 400


@pytest.mark.parametrize("below", ["jvm", "threads", "query", "region_clients"])
async def test_there_are_statistics_of_parts(tsdb: Served, below: str):
    assert (await tsdb.ask("GET", f"/api/stats/{below}"))[0] == 200
    _, [first, *_] = await tsdb.ask("GET", "/api/stats/nosuch")
    assert first["metric"].startswith("tsd.")


async def test_only_queries_of_the_own_domain_are_listed(tsdb: Served, monkeypatch: pytest.MonkeyPatch):
    running = [{"id": 1, "domain": "default"}, {"id": 2, "domain": "other"}]
    monkeypatch.setattr(tsdb.scope.gateway, "running_queries", lambda: running)
    assert await tsdb.ask("GET", "/api/stats/query") == (200, {"running": running[:1], "completed": []})


async def test_a_query_of_the_own_domain_can_be_ended(tsdb: Served, monkeypatch: pytest.MonkeyPatch):
    ended: list[int] = []
    running = [{"id": 1, "domain": "default"}, {"id": 2, "domain": "other"}]
    monkeypatch.setattr(tsdb.scope.gateway, "running_queries", lambda: running)
    monkeypatch.setattr(tsdb.scope.gateway, "end_query", lambda number: ended.append(number) or True)
    for wrong, status in (("", 400), ("?id=", 400), ("?id=2", 404), ("?id=x", 404)):
        assert (await tsdb.ask("DELETE", f"/api/stats/query{wrong}"))[0] == status
    assert ended == []
    assert (await tsdb.ask("DELETE", "/api/stats/query?id=1"))[0] == 204
    assert ended == [1]
    assert (await tsdb.ask("DELETE", "/api/stats"))[0] == (await tsdb.ask("PUT", "/api/stats/query?id=1"))[0] == 405


async def test_no_static_file_is_there(tsdb: Served):
    missing = {"error": {"code": 404, "message": "Page not found"}}
    assert await tsdb.ask("GET", "/s/nosuch.js") == (404, missing)
    assert await tsdb.ask("GET", "/favicon.ico") == (404, missing)
    assert (await tsdb.ask("GET", "/s"))[0] == 400


async def test_callbacks_wrap_answers_of_the_api_only(tsdb: Served):
    _, body, _ = await tsdb.raw("GET", "/aggregators?jsonp=cb")
    assert body.startswith(b"[")
    _, body, _ = await tsdb.raw("GET", "/api/aggregators?jsonp=cb")
    assert body.startswith(b"cb([")
