"""Retention: which points of which metric are too old."""

from __future__ import annotations

import pytest

from amondawa.store.retention import FOR_EVER_MS, Retention

NOW_MS = 1_700_000_000_000


def test_without_history_and_rules_everything_is_kept() -> None:
    retention = Retention()
    assert retention.oldest_ms("m", NOW_MS) == FOR_EVER_MS
    assert retention.shortest_ms == 0


@pytest.mark.parametrize(
    ("metric", "kept_s"),
    [("debug.keep", 600), ("debug.a", 60), ("debug.", 60), ("x.debug.a", 0), ("Debug.a", 0), ("a1", 5), ("a12", 0)],
)
def test_the_first_pattern_that_matches_the_whole_name_counts(metric: str, kept_s: int) -> None:
    retention = Retention.parse(0, "debug.keep=600, debug.*=60,a[0-9]=5")
    for _ in range(2):  # the second time from what it knows
        assert retention.by_rule_ms(metric) == kept_s * 1_000
    assert retention.oldest_ms(metric, NOW_MS) == (NOW_MS - kept_s * 1_000 if kept_s else FOR_EVER_MS)
    assert retention.shortest_ms == 5_000


@pytest.mark.parametrize(("rule_s", "kept_s"), [(60, 60), (600, 300)])
def test_the_history_bounds_what_a_rule_keeps(rule_s: int, kept_s: int) -> None:
    assert Retention(300, [("m", rule_s)]).oldest_ms("m", NOW_MS) == NOW_MS - kept_s * 1_000


def test_a_pattern_may_hold_an_equals_sign_before_the_last() -> None:
    assert Retention.parse(0, "a=b=5").by_rule_ms("a=b") == 5_000
