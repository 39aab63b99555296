"""The stages give what KairosDB was recorded to answer."""

from __future__ import annotations

import math

import pytest

from tests.aggregate.recorded import Asked, conversations, results, run

SUITES = ("aggregators", "sampling", "group_by", "mixed", "query")
CASES = [pytest.param(case, id=f"{suite}-{case.name}") for suite in SUITES for case in conversations(suite)]


def same(expected: object, actual: object) -> bool:
    if isinstance(expected, float | int) and isinstance(actual, float | int):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-12)
    return expected == actual


@pytest.mark.parametrize("case", CASES)
def test_recorded_answer(case: Asked) -> None:
    actual = results(run(case))
    expected = case.answer["results"]
    assert [r.get("group_by") for r in actual] == [r.get("group_by") for r in expected]
    for got, wanted in zip(actual, expected, strict=True):
        assert [pair[0] for pair in got["values"]] == [pair[0] for pair in wanted["values"]]
        for (time, value), (_, recorded) in zip(got["values"], wanted["values"], strict=True):
            assert same(recorded, value), (time, recorded, value)
