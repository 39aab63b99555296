"""Retention: which points of which metric are too old."""

from __future__ import annotations

import pytest

from amondawa.store.retention import FOR_EVER_MS, Retention

NOW_MS = 1_700_000_000_000


def test_without_history_and_rules_everything_is_kept() -> None:
    retention = Retention()
    assert retention.oldest_ms("d", "m", NOW_MS) == FOR_EVER_MS
    assert retention.shortest_ms == 0


@pytest.mark.parametrize(
    ("metric", "kept_s"),
    [("debug.keep", 600), ("debug.a", 60), ("debug.", 60), ("x.debug.a", 0), ("Debug.a", 0), ("a1", 5), ("a12", 0)],
)
def test_the_first_pattern_that_matches_the_whole_name_counts(metric: str, kept_s: int) -> None:
    retention = Retention.parse(0, "debug.keep=600, debug.*=60,a[0-9]=5")
    for _ in range(2):  # the second time from what it knows
        assert retention.by_rule_ms("d", metric) == kept_s * 1_000
    assert retention.oldest_ms("d", metric, NOW_MS) == (NOW_MS - kept_s * 1_000 if kept_s else FOR_EVER_MS)
    assert retention.shortest_ms == 5_000


@pytest.mark.parametrize(("rule_s", "kept_s"), [(60, 60), (600, 300)])
def test_the_history_bounds_what_a_rule_keeps(rule_s: int, kept_s: int) -> None:
    assert Retention(300, [("m", rule_s)]).oldest_ms("d", "m", NOW_MS) == NOW_MS - kept_s * 1_000


def test_a_pattern_may_hold_an_equals_sign_before_the_last() -> None:
    assert Retention.parse(0, "a=b=5").by_rule_ms("d", "a=b") == 5_000


@pytest.mark.parametrize(
    ("domain", "metric", "kept_s"),
    [
        ("shop", "m", 60),
        ("shop", "long", 60),
        ("shop", "short", 5),
        ("bank", "m", 0),
        ("bank", "long", 600),
        ("x", "m", 0),
    ],
)
def test_of_a_metrics_and_a_domains_time_the_shorter_counts(domain: str, metric: str, kept_s: int) -> None:
    retention = Retention.parse(0, "long=600,short=5")
    retention.domains = lambda: {"shop": 60, "x": 0}
    assert retention.by_rule_ms(domain, metric) == kept_s * 1_000


def test_the_shortest_time_follows_the_domains_as_they_change() -> None:
    retention = Retention.parse(0, "m=600")
    kept: dict[str, int] = {}
    retention.domains = lambda: kept
    assert retention.shortest_ms == 600_000
    kept = {"shop": 60, "bank": 0}
    assert retention.shortest_ms == 60_000
    kept = {}
    assert retention.shortest_ms == 600_000
    assert Retention().shortest_ms == 0
