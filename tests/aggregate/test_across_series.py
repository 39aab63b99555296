import numpy as np
import pytest

from amondawa.aggregate.across_series import CombineGroups, KeepRange, OnlyKinds, RateSeries, kept
from amondawa.aggregate.counter import PLAIN
from amondawa.errors import BadRequest
from amondawa.model.points import Kind, Points
from amondawa.model.result import Frame
from amondawa.model.series import Series
from tests.naive import NaiveClock

CLOCK = NaiveClock(0, 1_000, 2_000)


def frame(points: Points, **tags: str) -> Frame:
    return Frame("m", (Series.of("d", "m", tags),), (points,))


def longs(*values: int) -> Points:
    return Points.longs(np.arange(len(values), dtype=np.int64) * 1_000 + 1_000, np.array(values))


def by_host(series: Series) -> str:
    return series.tag("host") or ""


def test_points_of_other_kinds_and_frames_without_points_go():
    texts = Points.of_texts(np.array([5, 6]), [b"a", b"b"])
    both = Points.concat([longs(1), texts])
    got = OnlyKinds().apply([frame(both, host="a"), frame(texts, host="b")], CLOCK)
    assert [one.points.bits.tolist() for one in got] == [[1]]
    assert kept(texts, Kind.TEXT, Kind.BLOB) is texts


def test_groups_come_in_their_order_and_members_in_theirs():
    frames = [frame(longs(1), host="b", dc="x"), frame(longs(2), host="a", dc="y"), frame(longs(4), host="a", dc="x")]
    stage = CombineGroups("first", order=lambda series: series.tags, group=by_host)
    got = stage.apply(frames, CLOCK)
    assert [one.points.bits.tolist() for one in got] == [[4], [1]]
    assert [series.tag("dc") for series in got[0].members] == ["x", "y"]


def test_without_a_group_every_series_is_one():
    got = CombineGroups("none", order=by_host).apply([frame(longs(1), host="b"), frame(longs(2), host="a")], CLOCK)
    assert [one.points.bits.tolist() for one in got] == [[2], [1]]


def test_a_group_of_rates_is_held():
    frames = RateSeries(PLAIN).apply([frame(longs(1, 3, 7), host="a")], CLOCK)
    [got] = CombineGroups("sum", order=by_host, held=True).apply(frames, CLOCK)
    assert got.points.times_ms.tolist() == [2_000, 3_000]
    assert got.points.numbers().tolist() == [2.0, 4.0]


def test_an_unknown_aggregator_is_refused():
    with pytest.raises(BadRequest, match="no such aggregator: foo"):
        CombineGroups("foo", order=by_host).apply([], CLOCK)


def test_frames_are_cut_to_the_clocks_range_and_stay():
    got = KeepRange().apply([frame(longs(1, 2), host="a"), frame(longs(3).take(slice(0, 0)), host="b")], CLOCK)
    assert [one.points.times_ms.tolist() for one in got] == [[1_000], []]
