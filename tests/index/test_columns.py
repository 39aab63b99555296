from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amondawa.index.columns import GrowingInts
from amondawa.index.registry import SeriesRegistry
from amondawa.model.query import Selection, TagFilter
from amondawa.model.series import Series
from tests.naive import series_matches

NAMES = st.sampled_from(["host", "rack", "dc"])
VALUES = st.sampled_from(["", "a", "b", "ü", "c"])
TAGS = st.dictionaries(NAMES, VALUES).map(lambda tags: tuple(sorted(tags.items())))
FILTER = st.builds(
    TagFilter,
    NAMES,
    st.one_of(st.none(), st.frozensets(VALUES)),
    st.one_of(st.none(), st.just(lambda value: value > "a")),
    st.booleans(),
    st.booleans(),
)
ONLY = st.one_of(st.none(), st.frozensets(NAMES))


@given(st.lists(TAGS, max_size=30), st.lists(FILTER, max_size=3), ONLY)
def test_a_match_is_what_testing_each_series_gives(
    series: list[tuple[tuple[str, str], ...]], filters: list[TagFilter], only: frozenset[str] | None
) -> None:
    registry = SeriesRegistry()
    for tags in series:
        registry.resolve("d", "m", tags)
        registry.resolve("d", "other", tags)
    selection = Selection("d", "m", tuple(filters), only)
    expected = [ref for ref in range(len(registry)) if series_matches(selection, registry.series_of(ref))]
    assert registry.match(selection).tolist() == expected


@given(st.lists(TAGS, min_size=1, max_size=30), st.data())
def test_series_that_are_named_together_are_those_that_are_named_one_by_one(
    series: list[tuple[tuple[str, str], ...]], data: st.DataObject
) -> None:
    registry = SeriesRegistry()
    refs = [registry.resolve("d", metric, tags) for tags in series for metric in ("m", "other")]
    own = sorted({ref for ref in refs if registry.series_of(ref).metric == "m"})
    asked = data.draw(st.lists(st.sampled_from(own)))
    assert registry.series_many("d", "m", asked) == [registry.series_of(ref) for ref in asked]


def test_a_metric_that_was_never_met_has_no_series() -> None:
    assert SeriesRegistry().series_many("d", "m", []) == []


def test_posting_lists_and_young_tail_agree_while_a_metric_grows() -> None:
    registry = SeriesRegistry()
    expected: list[int] = []
    for number in range(6_000):
        value = str(number % 7)
        ref = registry.resolve("d", "m", (("host", str(number)), ("shard", value)))
        if value == "3":
            expected.append(ref)
        if number % 1_500 == 0:
            selection = Selection("d", "m", (TagFilter("shard", frozenset(["3"])),))
            assert registry.match(selection).tolist() == expected
    one = Selection("d", "m", (TagFilter("shard", frozenset(["3"])), TagFilter("host", frozenset(["10", "11"]))))
    assert [dict(registry.series_of(ref).tags)["host"] for ref in registry.match(one).tolist()] == ["10"]


def test_refs_count_up_and_are_the_same_for_the_same_series() -> None:
    registry = SeriesRegistry()
    first = registry.resolve("d", "m", (("a", "1"),))
    assert registry.resolve("e", "m", (("a", "1"),)) == first + 1
    assert registry.resolve("d", "m", (("a", "1"),)) == first
    assert registry.resolve_key(registry.key_of(first)) == first
    assert registry.series_of(first) == Series("d", "m", (("a", "1"),))


def test_pairs_are_those_of_the_series_asked_for() -> None:
    registry = SeriesRegistry()
    one = registry.resolve("d", "m", (("a", "1"), ("b", "2")))
    registry.resolve("d", "m", (("a", "3"),))
    metric = registry.metric_of(one)
    assert registry.pairs_of(metric, metric.refs[:1]) == {("a", "1"), ("b", "2")}
    assert registry.pairs_of(metric, metric.refs) == {("a", "1"), ("b", "2"), ("a", "3")}


def test_a_view_taken_before_growth_does_not_change() -> None:
    numbers = GrowingInts()
    for number in range(8):
        numbers.append(number)
    view = numbers.view()
    for number in range(100):
        numbers.append(-number)
    assert view.tolist() == list(range(8))
