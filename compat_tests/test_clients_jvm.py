"""Java clients as Maven Central ships them, compiled into small programs, against a running server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_tests.clients import builds
from compat_tests.clients.running import START_MS, arrived, built_or_skip, is_now, metrics, series, serving, tell
from compat_tests.process import HOST, ServerProcess
from compat_tests.wire import eventually, stored

pytestmark = pytest.mark.timeout(600)
METRICS4J = """
metrics4j: {{
  sources: {{
    _sink: "gateway"
    _trigger: "often"
    _formatter: "plain"
    _collector: ["whole", "fraction"]
    _tags: {{ host: "web01" }}
  }}
  sinks: {{ gateway: {{
    _class: "org.kairosdb.metrics4j.sinks.TelnetSink", host: "{host}", port: {port}, resolution: "{resolution}"
  }} }}
  triggers: {{ often: {{ _class: "org.kairosdb.metrics4j.triggers.IntervalTrigger", interval: "1 second" }} }}
  formatters: {{ plain: {{
    _class: "org.kairosdb.metrics4j.formatters.TemplateFormatter", template: "metrics4j.{resolution}.%{{methodName}}"
  }} }}
  collectors: {{
    whole: {{ _class: "org.kairosdb.metrics4j.collectors.impl.LongCounter", reset: false }}
    fraction: {{ _class: "org.kairosdb.metrics4j.collectors.impl.DoubleGauge", reset: false }}
  }}
}}
"""


@pytest.fixture(scope="module")
def classpath() -> str:
    return built_or_skip(builds.java)


@pytest.fixture(scope="module")
def server(classpath: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("jvm")) as one:
        yield one


def run(classpath: str, program: str, *arguments: object, options: tuple[str, ...] = ()) -> Any:
    return tell(["java", "-XX:TieredStopAtLevel=1", *options, "-cp", classpath, program, *map(str, arguments)])


@pytest.fixture(scope="module")
def seen(classpath: str, server: ServerProcess) -> Any:
    """Let the official client do all it can; return what it saw."""
    url = f"http://{HOST}:{server.ports.kairosdb}"
    return run(classpath, "KairosClient", url, HOST, server.ports.kairosdb_telnet)


class TestTheOfficialClientOfKairosdb:
    @pytest.mark.parametrize(("host", "factor"), [("web01", 1), ("web02", 2)])
    def test_gzipped_and_chunked_points_are_all_there(self, server: ServerProcess, seen: Any, host: str, factor: int):
        wanted = [[START_MS + step * 1000, step * factor] for step in range(120)]
        assert stored(server, "java.gzip", host=host, dc="eu") == wanted

    def test_doubles_keep_their_digits(self, server: ServerProcess, seen: Any):
        assert stored(server, "java.plain.double") == [[START_MS, 0.1]]

    def test_telnet_points_arrive_in_seconds_and_in_milliseconds(self, server: ServerProcess, seen: Any):
        both = eventually(lambda: stored(server, "java.put"), lambda points: len(points) == 2)
        assert both == [[START_MS, 7], [START_MS + 1000, 8.5]]
        precise = eventually(lambda: stored(server, "java.putm"), bool)
        assert precise == [[START_MS + 123, 9]]

    def test_it_reads_sums_by_host(self, seen: Any):
        assert sum(value for _, value in seen["sums"]["web01"]) == sum(range(120))
        assert sum(value for _, value in seen["sums"]["web02"]) == 2 * sum(range(120))
        assert seen["groups"] >= 1
        assert seen["sample_size"] == 240

    def test_it_reads_the_last_points_first(self, seen: Any):
        assert [value for _, value in seen["last"]] == [238, 236]

    def test_it_reads_texts(self, seen: Any):
        assert seen["text"] == [[START_MS, "späte Züge"]]

    def test_an_unknown_metric_has_one_empty_result(self, seen: Any):
        assert seen["unknown"] == []

    def test_it_lists_names_and_tags(self, seen: Any):
        assert {"java.plain", "java.gzip", "java.gzip.text"} <= set(seen["names"])
        assert {name: sorted(values) for name, values in seen["tags"].items()} == {
            "dc": ["eu"],
            "host": ["web01", "web02"],
        }

    def test_it_finds_the_server_well(self, seen: Any):
        assert seen["version"].startswith("KairosDB")
        assert seen["check"] == 204
        assert seen["status"] >= 1

    def test_it_creates_reads_and_deletes_a_rollup(self, seen: Any):
        assert (seen["rollup"], seen["rollups"], seen["rollups_left"]) == ("nightly", 1, 0)

    def test_its_deletes_take_what_they_name(self, server: ServerProcess, seen: Any):
        left = stored(server, "java.plain", host="web02")
        assert [at for at, _ in left] == [START_MS + step * 1000 for step in range(60, 120)]
        assert len(stored(server, "java.plain", host="web01")) == 120
        assert stored(server, "java.gzip.text") == []
        assert "java.gzip.text" not in metrics(server, "java.")


@pytest.mark.parametrize("resolution", ["SECONDS", "MILLISECONDS"])
def test_metrics4j_reports_on_its_timer_and_at_the_end(
    classpath: str, server: ServerProcess, tmp_path: Path, resolution: str
):
    file = tmp_path / "metrics4j.conf"
    port = server.ports.kairosdb_telnet
    file.write_text(METRICS4J.format(host=HOST, port=port, resolution=resolution))
    run(classpath, "Metrics4jKairos", options=(f"-DMETRICS4J_CONFIG={file}",))
    name = f"metrics4j.{resolution}.placed"
    placed = eventually(lambda: series(server, name), lambda seen: 21 in {points[-1][1] for points in seen.values()})
    north, south = ((("host", "web01"), ("shop", shop)) for shop in ("north", "south"))
    assert {tags: points[-1][1] for tags, points in placed.items()} == {north: 21, south: 30}
    worth = arrived(server, f"metrics4j.{resolution}.worth")
    assert worth[north][-1][1] == 12.75
    assert all(is_now(at) for points in placed.values() for at, _ in points)


@pytest.mark.parametrize("dialect", ["kairos", "opentsdb"])
def test_micrometer_publishes_every_meter(classpath: str, server: ServerProcess, dialect: str):
    path, port = {
        "kairos": ("/api/v1/datapoints", server.ports.kairosdb),
        "opentsdb": ("/api/put", server.ports.opentsdb),
    }[dialect]
    run(classpath, "MicrometerPush", dialect, f"http://{HOST}:{port}{path}")
    many = arrived(server, f"micrometer_{dialect}_many", 200)
    values = {dict(tags)["number"]: points[-1][1] for tags, points in many.items()}
    assert values == {str(number): number for number in range(200)}, metrics(server, "micrometer")
    assert [points[-1][1] for points in arrived(server, f"micrometer_{dialect}_queue").values()] == [42]


@pytest.mark.parametrize("way", ["plain", "gzip", "telnet"])
def test_metrics_opentsdb_sends_every_batch(classpath: str, server: ServerProcess, way: str):
    run(classpath, "MetricsOpenTsdb", way, HOST, server.ports.opentsdb)
    sent = arrived(server, f"java_metrics.{way}", 23)
    assert sent == {(("host", "web01"),): [[START_MS + step * 1000, step * 0.5] for step in range(23)]}
    jobs = arrived(server, f"java_reporter.{way}.jobs.count")
    assert [points[-1][1] for points in jobs.values()] == [11]
    assert [points[-1][1] for points in arrived(server, f"java_reporter.{way}.depth.value").values()] == [5]
