from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from amondawa.aggregate.downsample import RangeStage
from amondawa.model.points import Points, WriteBatch
from amondawa.model.timespan import HOUR_MS, Span, Unit
from amondawa.protocols.native.errors import Invalid
from amondawa.protocols.native.plan import plan_request
from tests.naive import NaiveGateway

NOW_MS = 1_700_000_000_000


def errors(**request: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        plan_request("d", {"start_absolute": 0, "metrics": [{"name": "m"}]} | request, NOW_MS)
    return caught.value.errors


def sampled(value: Any) -> dict[str, Any]:
    return {"name": "m", "downsample": {"name": "avg", "sampling": {"value": value, "unit": "days"}}}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (None, ["must not be null (was null)"]),
        ([], ["must be an object (was [])"]),
        ({"name": "m", "order": None}, {"order": ["must not be null (was null)"]}),
        ({"name": "m", "aggregate": 5}, {"aggregate": ["must be a text (was 5)"]}),
        ({"name": "m", "tags": {"a": {}}}, {"tags": {"a": ["must be a text or an array of texts (was {})"]}}),
        ({"name": "m", "tags": {"a": ["b", 1]}}, {"tags": {"a": {"1": ["must be a text (was 1)"]}}}),
        (sampled(1.5), {"downsample": {"sampling": {"value": ["must be a whole number (was 1.5)"]}}}),
        (sampled("1.5"), {"downsample": {"sampling": {"value": ['must be a whole number (was "1.5")']}}}),
        (sampled(True), {"downsample": {"sampling": {"value": ["must be a whole number (was true)"]}}}),
        (sampled(2**40 + 1), {"downsample": {"sampling": {"value": [f"must be 1 to {2**40} (was {2**40 + 1})"]}}}),
    ],
)
def test_a_wrong_query_is_told_by_its_address_and_value(metric: Any, expected: Any):
    assert errors(metrics=[{"name": "m"}, metric]) == {"metrics": {"1": expected}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"metrics": {}}, {"metrics": ["must be an array of queries (was {})"]}),
        ({"metrics": []}, {"metrics": ["must not be empty (was [])"]}),
        ({"time_zone": 5}, {"time_zone": ["must be a text (was 5)"]}),
        ({"end_relative": None}, {"end_relative": ["must not be null (was null)"]}),
        (
            {"end_relative": {"value": 0, "unit": "days"}},
            {"end_relative": {"value": [f"must be 1 to {2**40} (was 0)"]}},
        ),
    ],
)
def test_a_wrong_request_is_told_by_its_address_and_value(changes: Any, expected: Any):
    assert errors(**changes) == expected


@pytest.mark.parametrize(
    ("end", "field"),
    [({"end_absolute": 4}, "end_absolute"), ({"end_relative": {"value": 60, "unit": "years"}}, "end_relative")],
)
def test_an_end_before_the_start_is_told_where_it_stands(end: Any, field: str):
    assert list(errors(start_absolute=5, **end)) == [field]


@pytest.mark.parametrize(
    ("start", "field"),
    [
        ({"start_absolute": -(2**63)}, "start_absolute"),
        ({"start_absolute": 2**63 - 1, "end_absolute": 2**63 - 1}, "start_absolute"),
        ({"start_relative": {"value": 2**40, "unit": "weeks"}}, "start_relative"),
    ],
)
def test_a_start_too_far_away_for_buckets_is_named(start: Any, field: str):
    with pytest.raises(Invalid) as caught:
        plan_request("d", {"metrics": [sampled(1)]} | start, NOW_MS)
    assert list(caught.value.errors) == [field]
    assert plan_request("d", {"metrics": [{"name": "m"}]} | start, NOW_MS).queries


async def test_days_whose_midnight_clocks_skipped_are_downsampled_too():
    gateway, begin_ms = NaiveGateway(), 1_508_036_400_000  # 2017-10-15 01:00 in São Paulo, the day's first moment
    ref = gateway.resolve("d", "m", ())
    times = np.array([begin_ms, begin_ms + 22 * HOUR_MS, begin_ms + 23 * HOUR_MS])
    await gateway.write(WriteBatch.of(np.full(3, ref, np.int32), Points.longs(times, np.array([1, 2, 4]))))
    request = {"start_absolute": begin_ms + 1, "time_zone": "America/Sao_Paulo", "metrics": [sampled(1)]}
    (query,) = plan_request("d", request, NOW_MS).queries
    (frame,) = gateway.run(query).frames
    assert frame.points.times_ms.tolist() == [begin_ms, begin_ms + 23 * HOUR_MS]
    assert frame.points.numbers().tolist() == [2, 4]


@pytest.mark.parametrize("value", [20, "20"])
def test_a_sampling_may_be_a_text_of_digits(value: Any):
    planned = plan_request("d", {"start_absolute": 0, "metrics": [sampled(value)]}, NOW_MS)
    (stage,) = planned.queries[0].stages
    assert isinstance(stage, RangeStage)
    assert stage.sampling == Span(20, Unit.DAYS)
