from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amondawa.aggregate.aggregators import AGGREGATORS as STAGES
from amondawa.protocols.kairosdb.aggregators import AGGREGATORS
from amondawa.protocols.kairosdb.features import FEATURES, feature

RECORDED = Path(__file__).parents[3] / "compat_tests" / "conformance" / "kairosdb" / "http.json"
FREE = ("description", "expression", "message")


def fixed(value: Any) -> Any:
    """Leave out what is free to be worded."""
    if isinstance(value, dict):
        return {key: fixed(one) for key, one in value.items() if key not in FREE}
    return [fixed(one) for one in value] if isinstance(value, list) else value


def recorded(name: str) -> Any:
    cases = json.loads(RECORDED.read_text())["cases"]
    return next(case for case in cases if case["name"] == name)["steps"][0]["expect"]["json"]


def test_features_made_from_the_schemas_are_those_recorded() -> None:
    assert fixed(list(FEATURES)) == fixed(recorded("features"))


def test_one_feature_is_its_pieces() -> None:
    assert fixed(feature("group_by")) == fixed(recorded("features_group_by"))


def test_there_are_no_other_features() -> None:
    assert feature("nope") is None


def test_every_aggregator_but_save_as_has_a_stage() -> None:
    assert {name for name, _ in AGGREGATORS} - {"save_as"} == {name for name, _ in STAGES}
