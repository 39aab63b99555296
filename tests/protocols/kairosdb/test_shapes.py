"""What was read once is known again by its text, and by nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.protocols.kairosdb.problems import RequestRefused
from amondawa.protocols.kairosdb.queries import parse_query, read_json
from amondawa.protocols.kairosdb.shapes import SHAPE_BYTES, Shapes, text_of_shape

PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab0."),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


def typed(value: Any) -> Any:
    """Return JSON with every type beside its value: 1, 1.0 and True are three things."""
    if isinstance(value, dict):
        return dict, [(key, typed(one)) for key, one in value.items()]
    if isinstance(value, list):
        return list, [typed(one) for one in value]
    return type(value), repr(value)


@given(PLAIN, PLAIN)
def test_two_documents_share_a_text_only_when_they_are_the_same(one: Any, other: Any):
    assert (text_of_shape(one) == text_of_shape(other)) == (typed(one) == typed(other))


@pytest.mark.parametrize("raw", [None, [None], float("nan"), float("inf"), {"a": 2**64}, "\ud800", "x" * SHAPE_BYTES])
def test_what_has_no_text_of_its_own_is_read_every_time(raw: Any):
    shapes: Shapes[list[int]] = Shapes()
    assert shapes.of(raw, lambda _: [1]) is not shapes.of(raw, lambda _: [1])
    assert len(shapes) == 0


def test_a_text_is_read_once_until_there_are_too_many():
    shapes: Shapes[list[int]] = Shapes(limit=3)
    first = shapes.of({"a": 1}, lambda _: [1])
    assert shapes.of({"a": 1}, lambda _: [2]) is first
    for number in range(10):
        shapes.of(number, lambda _: [3])
        assert len(shapes) <= 3
    assert shapes.of({"a": 1}, lambda _: [4]) == [4]


def test_what_is_wrong_is_read_every_time():
    shapes: Shapes[int] = Shapes()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            shapes.of(1, lambda raw: raw // 0)


METRIC = {"name": "m", "aggregators": [{"name": "avg", "sampling": {"value": 1, "unit": "minutes"}}]}


def test_a_known_shape_takes_the_times_of_each_question():
    for start, end in ((1, 2), (3, 2**63 - 1), (0, 0)):
        asked = parse_query({"start_absolute": start, "end_absolute": end, "metrics": [METRIC]}, 0)
        assert (asked.start_ms, asked.end_ms) == (start, end)
    for now in (10_000, 20_000):
        asked = parse_query({"start_relative": {"value": 5, "unit": "seconds"}, "metrics": [METRIC]}, now)
        assert asked.start_ms == now - 5000


def test_a_known_metric_is_still_refused_without_a_range_and_told_its_place():
    parse_query({"start_absolute": 1, "metrics": [METRIC]}, 0)
    with pytest.raises(RequestRefused, match=r"query.metric\[0\].start_time"):
        parse_query({"metrics": [METRIC]}, 0)
    with pytest.raises(RequestRefused, match="end_time must be greater"):
        parse_query({"start_absolute": 5, "end_absolute": 4, "metrics": [METRIC]}, 0)


def test_times_that_are_no_plain_integers_are_read_as_before():
    for start, wanted in (('"7"', 7), ("7.9", 7), ("-1", -1)):
        body = f'{{"start_absolute": {start}, "metrics": [{{"name": "m"}}]}}'.encode()
        for _ in range(2):
            assert parse_query(read_json(body), 0).start_ms == wanted


def test_a_number_and_its_text_are_two_shapes():
    for written, limit in (("2", 2), ('"3"', 3), ("2.5", 2), ('"2"', 2)):
        body = f'{{"start_absolute": 1, "metrics": [{{"name": "m", "limit": {written}}}]}}'.encode()
        assert parse_query(read_json(body), 0).metrics[0].limit == limit
