"""Carry out a checked query: read, group, hand the frames on; then delete the rows when asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from amondawa.aggregate.fill import EmptyBucket
from amondawa.model.result import Result
from amondawa.protocols.base import Scope
from amondawa.protocols.opentsdb.data_query import CheckedQuery, row_range
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.lower import Lowered, RangeClock, lower
from amondawa.protocols.opentsdb.query_stats import Figures
from amondawa.protocols.opentsdb.render import Answered
from amondawa.protocols.opentsdb.uid import Uids, uids_of

T = TypeVar("T")

Finish = Callable[[list[Answered], Uids], T]
"""works on what the sub queries gave, in the worker thread that read it"""


async def evaluate(scope: Scope, domain: str, query: CheckedQuery, finish: Finish[T], label: str = "opentsdb") -> T:
    """Carry out every sub query and return what `finish` makes of the answers, which are in the order asked.

    Raises:
        TsdbError: a name or an id is unknown, a bucket is empty that may not be.
        LimitExceeded, Cancelled, Unavailable: as the gateway says; whatever `finish` raises.
    """
    uids = await uids_of(scope, domain)
    clock = RangeClock(query.start_ms, query.end_ms, scope.gateway.now_ms)

    async def read() -> tuple[T, list[Lowered]]:
        lowered = [await lower(sub, query, uids) for sub in query.sub_queries]

        def answer(results: list[Result]) -> T:
            return finish(_answers(lowered, results, clock), uids)

        return await scope.gateway.query([one for each in lowered for one in each.queries], answer, label), lowered

    try:
        out, lowered = await uids.settled(read)
    except EmptyBucket as error:
        raise TsdbError(str(error), 400, str(error)) from error
    if query.asked.delete:
        await _delete(scope, query, lowered)
    return out


def _answers(lowered: Sequence[Lowered], results: list[Result], clock: RangeClock) -> list[Answered]:
    """Give each sub query its share of the results."""
    answers = []
    at = 0
    for each in lowered:
        own = results[at : at + len(each.queries)]
        at += len(own)
        frames = each.finish(own, clock)
        asked = each.sub.asked
        figures = Figures.of(each.sub.index, asked.metric or ",".join(asked.tsuids), asked.histogram, own)
        answers.append(Answered(each.sub, frames, figures))
    return answers


async def _delete(scope: Scope, query: CheckedQuery, lowered: Sequence[Lowered]) -> None:
    """Delete the rows around the range, whole hours; not what was read behind them."""
    for each in lowered:
        first_ms, end_ms = row_range(query, each.sub)
        for read in each.queries:
            await scope.gateway.delete(read.selection, first_ms, end_ms - 1)
