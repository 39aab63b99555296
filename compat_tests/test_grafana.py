"""The requests that Grafana's two data sources send, and what their code reads in the answers."""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from compat_tests.clients.running import START_MS, START_S, serving
from compat_tests.process import ServerProcess
from compat_tests.wire import Answer, call

HOSTS = ("web01", "web02", "web03")
STEPS = 120
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/plain, */*"}
BROWSER = {**JSON, "Accept-Encoding": "gzip, deflate, br", "Origin": "http://grafana.example.com"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that holds one point a second of three hosts, with an annotation, and a metric of one series."""
    with serving(tmp_path_factory.mktemp("grafana")) as one:
        for host, factor in zip(HOSTS, (1, 2, 3), strict=True):
            tags = {"host": host, "dc": "eu"}
            points = [
                {"metric": "grafana.cpu", "timestamp": START_S + step, "value": step * factor, "tags": tags}
                for step in range(STEPS)
            ]
            assert call(one.opentsdb, "POST", "/api/put", points).status == 204
        note = {"startTime": START_S + 5, "description": "deployed"}
        assert call(one.opentsdb, "POST", "/api/annotation", note).status == 200
        yield one


def query(server: ServerProcess, path: str = "/api/query", **body: Any) -> Answer:
    asked = {"start": START_MS, "end": START_MS + STEPS * 1000, **body}
    return call(server.opentsdb, "POST", path, asked, JSON)


def cpu(**more: Any) -> dict[str, Any]:
    return {"metric": "grafana.cpu", "aggregator": "sum", **more}


class TestOpentsdbFromTheBrowser:
    def test_the_test_button_gets_a_list_though_nothing_matches(self, server: ServerProcess):
        answer = call(server.opentsdb, "GET", "/api/suggest?type=metrics&q=cpu&max=1000", headers=BROWSER)
        assert answer.status == 200
        assert json.loads(gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body) == []

    @pytest.mark.parametrize(
        ("kind", "prefix", "wanted"),
        [("metrics", "graf", ["grafana.cpu"]), ("tagk", "ho", ["host"]), ("tagv", "web", list(HOSTS))],
    )
    def test_variables_are_suggested(self, server: ServerProcess, kind: str, prefix: str, wanted: list[str]):
        answer = call(server.opentsdb, "GET", f"/api/suggest?type={kind}&q={prefix}&max=1000", headers=JSON)
        assert answer.json() == wanted

    def test_tag_names_and_values_are_looked_up(self, server: ServerProcess):
        names = call(server.opentsdb, "GET", "/api/search/lookup?m=grafana.cpu&limit=1000", headers=JSON).json()
        assert {name for one in names["results"] for name in one["tags"]} == {"host", "dc"}
        wanted = quote("grafana.cpu{host=*,dc=eu}", safe="")
        values = call(server.opentsdb, "GET", f"/api/search/lookup?m={wanted}&limit=1000", headers=JSON).json()
        assert sorted(one["tags"]["host"] for one in values["results"]) == list(HOSTS)

    def test_the_editor_gets_aggregators_and_filters(self, server: ServerProcess):
        assert "avg" in call(server.opentsdb, "GET", "/api/aggregators", headers=JSON).json()
        assert {"wildcard", "literal_or"} <= set(call(server.opentsdb, "GET", "/api/config/filters").json())

    def test_a_panel_of_version_three_finds_each_series_query(self, server: ServerProcess):
        targets = [cpu(tags={"host": "web01|web02"}), cpu(downsample="10s-avg", rate=False)]
        answer = query(server, queries=targets, msResolution=False, globalAnnotations=True, showQuery=True)
        assert answer.status == 200, answer
        found = [(one["query"]["index"], one["tags"].get("host")) for one in answer.json()]
        assert sorted(found, key=str) == [(0, "web01"), (0, "web02"), (1, None)]
        assert answer.json()[0]["aggregateTags"] is not None

    def test_points_come_in_order_of_time_in_the_resolution_asked_for(self, server: ServerProcess):
        for milliseconds, unit in ((False, 1), (True, 1000)):
            answer = query(server, queries=[cpu(tags={"host": "web02"})], msResolution=milliseconds)
            (one,) = answer.json()
            assert list(one["dps"].items()) == [(str((START_S + s) * unit), 2 * s) for s in range(STEPS)]

    def test_filters_and_rate_options_are_taken(self, server: ServerProcess):
        filters = [{"type": "wildcard", "tagk": "host", "filter": "web*", "groupBy": True}]
        rate = {
            "rate": True,
            "rateOptions": {"counter": True, "counterMax": 1000, "resetValue": 500, "dropResets": True},
        }
        answer = query(server, queries=[cpu(filters=filters, downsample="1s-avg-nan", explicitTags=False, **rate)])
        assert answer.status == 200, answer
        slopes = {one["tags"]["host"]: {v for v in one["dps"].values() if v != "NaN"} for one in answer.json()}
        assert slopes == {"web01": {1}, "web02": {2}, "web03": {3}}

    def test_a_panel_up_to_now_names_no_end(self, server: ServerProcess):
        body = {"start": START_MS, "queries": [cpu(downsample="1d-max")], "msResolution": True}
        answer = call(server.opentsdb, "POST", "/api/query", body, JSON)
        assert answer.status == 200, answer

    def test_annotations_are_told_in_seconds(self, server: ServerProcess):
        answer = query(server, queries=[cpu()], globalAnnotations=True)
        notes = [note for one in answer.json() for note in one["globalAnnotations"]]
        assert [(note["startTime"], note["description"]) for note in notes] == [(START_S + 5, "deployed")]

    def test_an_error_says_what_is_wrong(self, server: ServerProcess):
        answer = query(server, queries=[{"metric": "grafana.unknown", "aggregator": "sum"}])
        assert answer.status == 400
        assert "grafana.unknown" in answer.json()["error"]["message"]


class TestOpentsdbFromTheServer:
    def test_alerts_read_whole_seconds_and_numbers(self, server: ServerProcess):
        answer = query(server, queries=[cpu(downsample="10s-avg", tags={"host": "*"})])
        for one in answer.json():
            assert len(one["dps"]) == STEPS // 10
            assert all(START_S <= int(at) < START_S + STEPS for at in one["dps"])
            assert all(isinstance(value, int | float) for value in one["dps"].values())

    def test_version_four_reads_pairs(self, server: ServerProcess):
        answer = query(server, "/api/query?arrays=true", queries=[cpu(tags={"host": "web01"})])
        (one,) = answer.json()
        assert one["dps"] == [[START_S + step, step] for step in range(STEPS)]

    def test_an_unfinished_downsampler_is_refused_with_a_plain_message(self, server: ServerProcess):
        answer = query(server, queries=[cpu(downsample="1m-")])
        assert answer.status == 400
        assert answer.json()["error"]["message"]

    def test_nothing_is_packed_unasked(self, server: ServerProcess):
        answer = call(server.opentsdb, "GET", "/api/suggest?type=metrics&q=g&max=1000", headers=JSON)
        assert "content-encoding" not in answer.headers


def panel(server: ServerProcess, *metrics: dict[str, Any], **more: Any) -> Any:
    """Send what a panel of the KairosDB data source sends; return its queries."""
    body = {"start_absolute": START_MS, "end_absolute": START_MS + STEPS * 1000, "cache_time": 0, "metrics": metrics}
    answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query", {**body, **more}, JSON)
    assert answer.status == 200, answer
    return answer.json()["queries"]


def of(name: str = "grafana.cpu", tags: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "tags": tags or {}, "limit": 0, **more}


class TestKairosdb:
    def test_the_page_gets_all_names(self, server: ServerProcess):
        names = call(server.kairosdb, "GET", "/api/v1/metricnames", headers=JSON).json()["results"]
        assert "grafana.cpu" in names

    def test_a_metric_chosen_tells_its_tags_of_all_time(self, server: ServerProcess):
        body = {"cache_time": 0, "metrics": [{"name": "grafana.cpu", "tags": {}}], "start_absolute": 0}
        answer = call(server.kairosdb, "POST", "/api/v1/datapoints/query/tags", body, JSON)
        tags = answer.json()["queries"][0]["results"][0]["tags"]
        assert {name: sorted(values) for name, values in tags.items()} == {"dc": ["eu"], "host": list(HOSTS)}

    def test_a_limit_of_zero_is_no_limit(self, server: ServerProcess):
        (one,) = panel(server, of(tags={"host": ["web01"]}))
        assert one["results"][0]["values"] == [[START_MS + step * 1000, step] for step in range(STEPS)]

    @pytest.mark.parametrize("unit", ["minutes", "MINUTES"])
    @pytest.mark.parametrize("align", ["align_sampling", "align_start_time", ""])
    @pytest.mark.parametrize(
        "name", ["avg", "dev", "count", "first", "gaps", "last", "least_squares", "max", "min", "sum"]
    )
    def test_sampling_values_may_be_strings(self, server: ServerProcess, name: str, align: str, unit: str):
        aggregator = {"name": name, "sampling": {"value": "1", "unit": unit}, **({align: True} if align else {})}
        (one,) = panel(server, of(aggregators=[aggregator]))
        assert one["sample_size"] == STEPS * len(HOSTS)
        assert one["results"][0]["values"]

    @pytest.mark.parametrize(
        "aggregator",
        [
            {"name": "percentile", "percentile": "0.75", "sampling": {"value": "1", "unit": "minutes"}},
            {"name": "sma", "size": "3"},
            {"name": "diff"},
            {"name": "div", "divisor": "2"},
            {"name": "rate", "unit": "seconds"},
            {"name": "sampler", "unit": "seconds"},
            {"name": "scale", "factor": "2.5"},
            {"name": "trim", "trim": "both"},
        ],
        ids=lambda aggregator: aggregator["name"],
    )
    def test_every_aggregator_on_offer_answers(self, server: ServerProcess, aggregator: dict[str, Any]):
        (one,) = panel(server, of(tags={"host": ["web02"]}, aggregators=[aggregator]))
        assert one["results"][0]["values"]

    def test_queries_come_in_the_order_of_the_targets_with_one_result_for_an_unknown_metric(
        self, server: ServerProcess
    ):
        found = panel(server, of(tags={"host": ["web03"]}), of("grafana.unknown"), of(tags={"host": ["web01"]}))
        assert [one["results"][0]["name"] for one in found] == ["grafana.cpu", "grafana.unknown", "grafana.cpu"]
        assert found[1]["results"][0]["values"] == []
        assert [found[index]["results"][0]["values"][1][1] for index in (0, 2)] == [3, 1]

    def test_groups_describe_themselves(self, server: ServerProcess):
        groups = [
            {"name": "tag", "tags": ["host"]},
            {"name": "time", "group_count": "2", "range_size": {"unit": "minutes", "value": "1"}},
            {"name": "value", "range_size": "1000"},
        ]
        (one,) = panel(server, of(group_by=groups))
        hosts = set()
        for result in one["results"]:
            described = {group["name"]: group.get("group") for group in result["group_by"]}
            assert all(isinstance(described[name], dict) for name in ("tag", "time", "value")), result["group_by"]
            hosts.add(described["tag"]["host"])
        assert hosts == set(HOSTS)
