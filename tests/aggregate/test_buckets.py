"""How times fall into buckets."""

from __future__ import annotations

import numpy as np
import pytest

from amondawa.aggregate.buckets import (
    CalendarBuckets,
    EqualBuckets,
    aligned_origin,
    bucket_edges,
    bucket_index,
    cut,
    cut_unmerged,
    epoch_buckets,
    first_origin,
    origin_buckets,
)
from amondawa.errors import ComputeError
from amondawa.model.timespan import DAY_MS, Span, Unit, Zone, find_zone
from tests.model.test_timespan import at

BERLIN = find_zone("Europe/Berlin")


def test_epoch_buckets_begin_at_multiples() -> None:
    buckets = epoch_buckets(60_000)
    assert bucket_index(buckets, np.array([-1, 0, 59_999, 60_000])).tolist() == [-1, 0, 0, 1]
    assert bucket_edges(buckets, 59_999, 60_000).tolist() == [0, 60_000, 120_000]


def test_edges_cover_the_range_and_one_more() -> None:
    buckets = CalendarBuckets(at("2013-01-01T00:00"), 2, Unit.MONTHS)
    edges = bucket_edges(buckets, at("2013-01-15T00:00"), at("2013-05-01T00:00"))
    assert edges.tolist() == [at(f"2013-{month:02}-01T00:00") for month in (1, 3, 5, 7)]


@pytest.mark.parametrize("unit", [Unit.DAYS, Unit.WEEKS, Unit.MONTHS, Unit.YEARS])
@pytest.mark.parametrize("count", [1, 3])
def test_sparse_and_dense_numbering_agree(unit: Unit, count: int) -> None:
    buckets = CalendarBuckets(at("2013-01-31T02:30", "Europe/Berlin"), count, unit, BERLIN)
    times = np.arange(at("2009-01-01T00:00"), at("2020-01-01T00:00"), 7 * DAY_MS // 3)
    dense = buckets.numbers(times)
    sparse = [int(buckets.numbers(np.array([time, 2**60]))[0]) for time in times[::97].tolist()]
    assert sparse == dense[::97].tolist()


def test_points_ages_apart_need_no_edge_in_between() -> None:
    buckets = CalendarBuckets(0, 1, Unit.DAYS, BERLIN)
    numbers = buckets.numbers(np.array([-(2**61), 0, 2**61]))
    assert numbers.tolist() == [-(2**61) // DAY_MS, 0, 2**61 // DAY_MS]


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        (Unit.YEARS, "2013-01-01T00:00"),
        (Unit.MONTHS, "2013-04-01T00:00"),
        (Unit.WEEKS, "2013-04-01T00:00"),
        (Unit.DAYS, "2013-04-03T00:00"),
        (Unit.HOURS, "2013-04-03T00:00"),
        (Unit.MINUTES, "2013-04-03T00:00"),
        (Unit.SECONDS, "2013-04-03T00:00"),
        (Unit.MILLISECONDS, "2013-04-03T11:22:33"),
    ],
)
def test_aligned_origins(unit: Unit, wanted: str) -> None:
    assert aligned_origin(at("2013-04-03T11:22:33.444"), unit) == at(wanted)
    start = at("2013-04-03T11:22:33.444", "Europe/Berlin")
    assert aligned_origin(start, unit, BERLIN) == at(wanted, "Europe/Berlin")


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (Unit.HOURS, "Value 0 for hourOfDay is not supported: .*: 2012-10-21T00:34:56.789 .America/Sao_Paulo."),
        (Unit.DAYS, "Value 0 for hourOfDay is not supported"),
    ],
)
def test_a_day_without_midnight_cannot_be_aligned_to(unit: Unit, text: str) -> None:
    start = at("2012-10-21T12:34:56.789", "America/Sao_Paulo")
    with pytest.raises(ComputeError, match=text):
        aligned_origin(start, unit, find_zone("America/Sao_Paulo"))


def test_of_two_midnights_the_one_with_the_starts_offset_is_meant() -> None:
    havana = find_zone("America/Havana")  # 2013-11-03 01:00 went back to 00:00
    evening = at("2013-11-03T20:00", "America/Havana")
    assert aligned_origin(evening, Unit.DAYS, havana) == at("2013-11-03T00:00", "America/Havana", fold=1)
    early = at("2013-11-03T00:30", "America/Havana", fold=0)
    assert aligned_origin(early, Unit.DAYS, havana) == at("2013-11-03T00:00", "America/Havana", fold=0)


def test_an_empty_span_divides_by_zero() -> None:
    with pytest.raises(ComputeError, match="/ by zero"):
        origin_buckets(0, Span(0, Unit.MINUTES))


def test_origins_at_the_end_of_time_are_refused() -> None:
    with pytest.raises(ComputeError, match="overflow"):
        origin_buckets(-(2**63), Span(1, Unit.MINUTES))


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("zone", [BERLIN, find_zone("America/Sao_Paulo")])
def test_buckets_count_from_the_same_moment_wherever_that_midnight_exists(unit: Unit, zone: Zone) -> None:
    start = at("2017-07-19T13:07:05") + 250
    assert first_origin(start, Span(2, unit), zone) == aligned_origin(start, unit, zone)


@pytest.mark.parametrize(
    ("zone", "span", "edges"),
    [
        ("America/Sao_Paulo", Span(1, Unit.DAYS), ["2017-10-15T03", "2017-10-16T02", "2017-10-17T02"]),
        ("America/Sao_Paulo", Span(2, Unit.DAYS), ["2017-10-15T03", "2017-10-17T02", "2017-10-19T02"]),
        ("America/Sao_Paulo", Span(1, Unit.HOURS), ["2017-10-15T03", "2017-10-15T04", "2017-10-15T05"]),
        ("America/Asuncion", Span(1, Unit.MONTHS), ["2017-10-01T04", "2017-11-01T03", "2017-12-01T03"]),
    ],
)
def test_a_day_whose_midnight_clocks_skipped_begins_at_the_change_and_the_next_at_its_midnight(
    zone: str, span: Span, edges: list[str]
) -> None:
    begin, *_ = moments = [at(edge + ":00:00") for edge in edges]
    with pytest.raises(ComputeError, match="Illegal instant"):
        aligned_origin(begin + 60_000, span.unit, find_zone(zone))
    origin = first_origin(begin + 60_000, span, find_zone(zone))
    assert origin <= begin
    found = bucket_edges(origin_buckets(origin, span, find_zone(zone)), begin, moments[-1] - 1)
    assert found.tolist() == moments


def test_spans_of_any_length_hold_every_point() -> None:
    buckets = origin_buckets(0, Span(2**62, Unit.YEARS))
    assert cut(np.array([0, 10**15]), buckets).numbers.tolist() == [0]
    assert cut(np.array([10**15, 0]), origin_buckets(5, Span(2**62, Unit.HOURS))).firsts.tolist() == [0]


def test_runs_know_their_lengths_and_last_points() -> None:
    runs = cut(np.array([0, 1, 9, 10, 35]), EqualBuckets(0, 10))
    assert runs.firsts.tolist() == [0, 3, 4]
    assert runs.numbers.tolist() == [0, 1, 3]
    assert runs.lengths.tolist() == [3, 1, 1]
    assert runs.lasts.tolist() == [2, 3, 4]


def test_few_buckets_over_many_points_cut_as_many_buckets_do() -> None:
    times = np.sort(np.random.default_rng(1).integers(0, 1_000_000, 5_000))
    for step in (7, 900, 40_000, 2_000_000):
        runs = cut(times, EqualBuckets(0, step))
        assert runs.numbers.tolist() == sorted(set((times // step).tolist()))
        assert runs.lengths.sum() == len(times)


def test_no_points_are_no_runs() -> None:
    runs = cut(np.zeros(0, np.int64), EqualBuckets(0, 10))
    assert (runs.end, runs.lengths.tolist(), runs.lasts.tolist()) == (0, [], [])


def test_a_descending_stream_is_one_run() -> None:
    runs = cut(np.array([95, 40, 3]), EqualBuckets(0, 10))
    assert (runs.firsts.tolist(), runs.numbers.tolist()) == ([0], [9])


@pytest.mark.parametrize(
    ("times", "firsts", "numbers"),
    [
        ([-5, 5, 10], [0, 2], [0, 1]),  # less than one step before the origin counts as bucket 0
        ([-15, -5, 5], [0, 2], [-1, 0]),  # bucket -1 takes all before the origin
        ([-10, -5, 0], [0, 2], [-1, 0]),
        ([-25, -15, -12, -5, 12], [0, 3, 4], [-2, 0, 1]),
    ],
)
def test_before_the_origin_buckets_count_by_truncation(times: list[int], firsts: list[int], numbers: list[int]) -> None:
    runs = cut(np.array(times), EqualBuckets(0, 10))
    assert (runs.firsts.tolist(), runs.numbers.tolist()) == (firsts, numbers)


def test_unmerged_streams_are_cut_where_they_meet() -> None:
    runs = cut_unmerged(np.array([7, 8, 1, 2, 12]), [2, 3], EqualBuckets(0, 10))
    assert (runs.firsts.tolist(), runs.numbers.tolist()) == ([0, 2, 4], [0, 0, 1])
