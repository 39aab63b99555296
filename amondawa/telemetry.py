"""What the process tells of itself: readiness, counters for Prometheus, logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

Statistics = Callable[[], Mapping[str, float]]


class Readiness:
    """Whether the process can serve: the phase it is in, and what the gateway says of its storage."""

    def __init__(self) -> None:
        self._phase = "starting: the journal is being read back"
        self._statistics: Statistics | None = None
        self._outage: Callable[[], str] = str

    def serving(self, statistics: Statistics, outage: Callable[[], str] = str) -> None:
        """The gateway is up; from now on its statistics decide, and `outage`: why the store is away (empty = it is not)."""
        self._phase = ""
        self._statistics = statistics
        self._outage = outage

    def draining(self) -> None:
        """The process is about to end."""
        self._phase = "draining: the process is stopping"

    def reasons(self) -> list[str]:
        """Return why the process is not ready; empty = it is."""
        if self._phase:
            return [self._phase]
        statistics = self._statistics() if self._statistics is not None else {}
        reasons = []
        if statistics.get("spool_full"):
            reasons.append("spool full: writes are refused")
        elif statistics.get("storage_full"):
            reasons.append("storage full: writes are refused")
        if not statistics.get("spool_limit_bytes") and (away := self._outage()):
            reasons.append(f"writes are refused: {away}")
        return reasons

    def notes(self) -> Mapping[str, object]:
        """Return what is to be known although writes are taken: that they go to the spool, and why."""
        away = self._outage()
        statistics = self._statistics() if away and self._statistics is not None else {}
        if not statistics.get("spool_limit_bytes"):
            return {}
        return {
            "spooling": True,
            "reason": away,
            "spool_bytes": int(statistics["spool_bytes"]),
            "spool_entries": int(statistics["spool_entries"]),
        }


class Metrics:
    """The registry behind /metrics: requests by protocol, the gateway's statistics, the process itself."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._requests = Counter(
            "amondawa_http_requests",
            "HTTP requests answered, by protocol, method and status code (4xx: rejected)",
            ["protocol", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "amondawa_http_request_seconds",
            "Time from an HTTP request's headers to its answer",
            ["protocol", "kind"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )

        self._series: dict[tuple[str, str, str, int], tuple[Counter, Histogram]] = {}

    def watch(self, statistics: Statistics) -> None:
        """Show a gateway's statistics from now on."""
        self._registry.register(_GatewayCollector(statistics))

    def watch_domains(self, usage: Callable[[], Mapping[str, Mapping[str, float]]]) -> None:
        """Show counters by domain from now on."""
        self._registry.register(_DomainCollector(usage))

    def watch_units(self, units: Callable[[], Mapping[str, tuple[float, float]]]) -> None:
        """Show the read and write units of a billed store by domain ("" = the gateway's own) from now on."""
        self._registry.register(_UnitsCollector(units))

    def count(self, protocol: str, kind: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; `kind` is read or write."""
        key = (protocol, kind, method, status)
        series = self._series.get(key)
        if series is None:
            series = (self._requests.labels(protocol, method, str(status)), self._seconds.labels(protocol, kind))
            self._series[key] = series
        series[0].inc()
        series[1].observe(seconds)

    content_type = CONTENT_TYPE_LATEST
    """what `render` makes"""

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


COUNTERS = frozenset(
    {
        "chunks_written",
        "flush_failures",
        "follow_failures",
        "gateways_succeeded",
        "journal_bytes_written",
        "journal_entries",
        "maintenance_failures",
        "points_flushed",
        "points_read",
        "points_recovered",
        "points_rejected",
        "points_swept",
        "rows_rolled_up",
        "points_written",
        "queries",
        "read_units",
        "row_cache_hits",
        "row_cache_misses",
        "spool_drained_entries",
        "spooled_entries",
        "write_units",
    }
)
"""Statistics of the gateway that only ever grow."""


class _GatewayCollector(Collector):
    """Turns statistics by name into metrics: counters, and gauges for all others."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def collect(self) -> Iterator[Metric]:
        for name, value in sorted(self._statistics().items()):
            text = name.replace("_", " ")
            if name in COUNTERS:
                yield CounterMetricFamily(f"amondawa_{name}", f"{text} since the start", value=value)
            else:
                yield GaugeMetricFamily(f"amondawa_{name}", text, value=value)


class _DomainCollector(Collector):
    """Turns counters by domain and name into metrics with the domain as their label."""

    def __init__(self, usage: Callable[[], Mapping[str, Mapping[str, float]]]) -> None:
        self._usage = usage

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for domain, counters in sorted(self._usage().items()):
            for name, value in counters.items():
                if name not in families:
                    text = f"{name.replace('_', ' ')} since the start, by domain"
                    families[name] = CounterMetricFamily(f"amondawa_domain_{name}", text, labels=["domain"])
                families[name].add_metric([domain], value)
        yield from families.values()


class _UnitsCollector(Collector):
    """Turns units by domain into counters with the domain as their label; none where a store bills none."""

    def __init__(self, units: Callable[[], Mapping[str, tuple[float, float]]]) -> None:
        self._units = units

    def collect(self) -> Iterator[Metric]:
        used = sorted(self._units().items())
        for at, kind in enumerate(("read", "write")):
            text = f"{kind} units that the store billed since the start, by domain (none: the gateway itself)"
            family = CounterMetricFamily(f"amondawa_store_{kind}_units", text, labels=["domain"])
            for domain, units in used:
                family.add_metric([domain], units[at])
            if used:
                yield family


def configure_logs(form: str) -> None:
    """Send structlog's and the libraries' logs to stderr.

    Args:
        form: json, console, or auto (console when stderr is a terminal).
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("aiohttp.server").addFilter(_shorten_bad_requests)


def _shorten_bad_requests(record: logging.LogRecord) -> bool:
    """Log bytes that are no HTTP as one line: they are the client's doing, and a trace of them tells nothing."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and type(error).__module__ == "aiohttp.http_exceptions":
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = f"{record.getMessage()}: {type(error).__name__}"
        record.args = ()
    return True
