"""Rules of roll-up: how they are written, which counts, and when a block is due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from amondawa.errors import ConfigError
from amondawa.settings import Settings, read_settings
from amondawa.store.blocks import BlockPlan
from amondawa.store.rollup_rules import RollupRule, RollupRules

DAY_S = 86_400
BLOCK = BlockPlan(3_600).block_of(0)


def test_times_have_units_and_seconds_none():
    rules = RollupRules.parse("a=90:60, b=2m:1s,c=3h:1m:drop-raw,d=4d:1h,e=5w:1d")
    assert [(rule.older_s, rule.step_s, rule.drop_raw) for rule in rules.rules] == [
        (90, 60, False),
        (120, 1, False),
        (10_800, 60, True),
        (4 * DAY_S, 3_600, False),
        (35 * DAY_S, DAY_S, False),
    ]
    assert RollupRules.parse(str(rules)).rules == rules.rules


@pytest.mark.parametrize(
    "text", ["a", "a=1d", "=1d:1m", "a=1d:0", "a=1d:1m:raw", "a=1d:1m:", "a=1y:1m", "a=-1d:1m", "a=1d:1m:drop-raw:x"]
)
def test_what_is_no_rule_is_refused_by_name(text: str):
    with pytest.raises(ConfigError, match="PATTERN=AGE:INTERVAL"):
        RollupRules.parse(f"ok=1d:1m,{text}")


@pytest.mark.parametrize("text", ["a", "a=1d", "a=1d:1m:raw", "a=1y:1m"])
def test_the_setting_refuses_it_too(text: str):
    with pytest.raises(ConfigError, match="AMDW_ROLLUP"):
        read_settings({}, {"AMDW_ROLLUP": text})
    assert read_settings({}, {"AMDW_ROLLUP": "a=1d:1m,b.*=30d:1h:drop-raw"}) == replace(
        Settings(), rollup="a=1d:1m,b.*=30d:1h:drop-raw"
    )


def test_an_interval_divides_the_row():
    assert RollupRules.parse("a=1d:20m", 3_600)
    with pytest.raises(ConfigError, match="3600 seconds"):
        RollupRules.parse("a=1d:7m", 3_600)


def test_the_first_rule_that_matches_counts():
    rules = RollupRules.parse("web.x=1d:1m,web.*=2d:1m")
    assert [rules.of(name) for name in ("web.x", "web.y", "db")] == [*rules.rules, None]


def test_a_block_is_due_once_it_has_ended_for_the_age_and_new_until_it_was_rolled_up():
    rules = RollupRules([RollupRule("a", DAY_S, 60), RollupRule("b", 5 * DAY_S, 60)])
    assert rules.due(BLOCK, BLOCK.end_s + DAY_S - 1) == []
    now_s = BLOCK.end_s + DAY_S
    assert rules.new(BLOCK, now_s) == [rules.rules[0]]
    begun = replace(BLOCK, rollup=str(rules))
    assert rules.new(begun, now_s) == [rules.rules[0]]
    done = replace(begun, rolled_s=now_s)
    assert rules.new(done, now_s + 1) == []
    assert rules.new(done, now_s + 4 * DAY_S) == [rules.rules[1]]
    assert rules.new(replace(done, rollup="a=1d:2m"), now_s) == [rules.rules[0]]
