"""What /api/query/exp is asked: metrics, filters, expressions over them, and which of all these to put out.

Source: suite query_exp. What does not fit is answered with 500, as the original does; the texts are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from amondawa.aggregate.combine import COMBINATIONS
from amondawa.aggregate.formula import Formula, parse_formula
from amondawa.aggregate.formula_text import BadFormula
from amondawa.protocols.opentsdb.data_query import CheckedQuery, DataQuery, SubQuery, check
from amondawa.protocols.opentsdb.errors import TsdbError, internal_null
from amondawa.protocols.opentsdb.filters import TagVFilter
from amondawa.protocols.opentsdb.times import parse_duration, parse_time

INTERNAL = 500


@dataclass(frozen=True, slots=True)
class FillValue:
    """What stands where a series has no value.

    Attributes:
        policy: its name.
        value: NaN for none, nan and null.
    """

    policy: str
    value: float

    def wire(self) -> dict[str, Any]:
        """Return the policy as it is echoed."""
        return {"policy": self.policy, "value": "NaN" if self.value != self.value else self.value}


@dataclass(frozen=True, slots=True)
class Downsampler:
    """The downsampler of all metrics; its fill policy is echoed and, as in the original, not used."""

    interval: str
    aggregator: str
    fill: FillValue | None = None


@dataclass(frozen=True, slots=True)
class Timespan:
    """Range and defaults of all metrics."""

    start: str | None = None
    end: str | None = None
    zone_name: str | None = None
    downsampler: Downsampler | None = None
    aggregator: str | None = None
    rate: bool = False


@dataclass(frozen=True, slots=True)
class FilterSet:
    """Named filters."""

    name: str
    tags: tuple[TagVFilter, ...] | None = ()
    explicit_tags: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A named metric."""

    name: str
    metric: str
    filter_name: str | None = None
    aggregator: str | None = None
    time_offset: str | None = None
    fill: FillValue | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Which series of the variables belong together.

    Attributes:
        intersection: only those that every variable has; else all; None = not said, which is refused.
        query_tags: compare only the tags that filters name.
        aggregated_tags: compare the names of the aggregated tags too.
    """

    intersection: bool | None = False
    query_tags: bool = False
    aggregated_tags: bool = True


@dataclass(frozen=True, slots=True)
class Expression:
    """A named formula."""

    name: str
    text: str
    join: Join = Join()
    fill: FillValue | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """What to put out, under which other name."""

    name: str | None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class ExpressionQuery:
    """A whole request as written; None for a list that is not there."""

    name: str | None = None
    time: Timespan | None = None
    filters: tuple[FilterSet, ...] | None = ()
    metrics: tuple[Metric, ...] = ()
    expressions: tuple[Expression, ...] | None = ()
    outputs: tuple[Output, ...] | None = ()

    def wanted(self) -> Sequence[Output]:
        """Return the outputs: those asked for, else all expressions, else all metrics."""
        return self.outputs or [Output(one.name) for one in self.expressions or self.metrics]

    def sub_query(self, metric: Metric) -> SubQuery:
        """Return the sub query of a metric."""
        time = self.time or Timespan()
        chosen = next((one for one in self.filters or () if one.name == metric.filter_name), FilterSet(""))
        down = time.downsampler
        return SubQuery(
            metric.aggregator or time.aggregator,
            metric.metric,
            downsample=None if down is None else f"{down.interval}-{down.aggregator}",
            rate=time.rate,
            filters=chosen.tags or (),
            explicit_tags=chosen.explicit_tags,
        )

    def data_query(self) -> DataQuery:
        """Return the reads, one a metric; metrics that are put out are not cut to the range."""
        time = self.time or Timespan()
        subs = tuple(self.sub_query(metric) for metric in self.metrics)
        return DataQuery(time.start, time.end, subs, time.zone_name, whole_rows=True)


def check_expressions(query: ExpressionQuery, now_ms: int) -> dict[str, Formula]:
    """Check a request and parse its expressions.

    Returns:
        Formulas by the names of their expressions.

    Raises:
        TsdbError: 500, as the original answers.
    """
    if query.time is None:
        raise TsdbError("missing time", INTERNAL)
    _check_time(query.time, now_ms)
    if not query.metrics:
        raise TsdbError("missing or empty metrics", INTERNAL)
    if query.filters is None or query.expressions is None:
        raise internal_null()
    _check_unique((one.name for one in query.metrics), "duplicated metric id: ")
    _check_unique((one.name for one in query.filters), "duplicated filter id: ")
    variables = [one.name for one in query.metrics] + [one.name for one in query.expressions]
    _check_unique(variables, "Duplicated variable or expression id: ")
    for at, metric in enumerate(query.metrics):
        _check_metric(metric, at, now_ms)
    for at, filters in enumerate(query.filters):
        _check_name(filters.name, "filter", at)
    formulas = {one.name: _formula(one, at) for at, one in enumerate(query.expressions)}
    _check_filter_names(query)
    for formula in formulas.values():
        missing = next((used for used in formula.names if used not in variables), None)
        if missing is not None:
            raise TsdbError(f"Expression [{formula.text}] was missing input {missing}", INTERNAL)
    _check_used_filters(query)
    for expression in query.expressions:
        if expression.join.intersection is None:
            raise TsdbError("The set operator cannot be null", INTERNAL)
        if not formulas[expression.name].names:
            raise TsdbError("The expression didn't appear to have any variables", INTERNAL)
    return formulas


def check_reads(query: ExpressionQuery, now_ms: int) -> CheckedQuery:
    """Return the reads of a request.

    Raises:
        TsdbError: 500, they are not right (which anywhere else is 400).
    """
    try:
        return check(query.data_query(), now_ms)
    except TsdbError as error:
        raise TsdbError(error.message, INTERNAL) from error


def _check_name(name: str, what: str, at: int) -> None:
    """Refuse what is no name of a variable: letters and digits, not one digit alone."""
    if not name or not name.isalnum() or (len(name) == 1 and name.isdigit()):
        raise TsdbError(f"Invalid {what} at index {at}", INTERNAL)


def _check_used_filters(query: ExpressionQuery) -> None:
    used = {one.filter_name for one in query.metrics}
    if any(one.tags is None and one.name in used for one in query.filters or ()):
        raise internal_null()


def _check_time(time: Timespan, now_ms: int) -> None:
    try:
        if not time.start:
            raise TsdbError("missing or empty start")
        parse_time(time.start, time.zone_name, now_ms)
        if time.end:
            parse_time(time.end, time.zone_name, now_ms)
        if time.downsampler is not None:
            parse_duration(time.downsampler.interval or "-")
            _check_aggregator(time.downsampler.aggregator)
        _check_aggregator(time.aggregator)
    except TsdbError as error:
        raise TsdbError("Invalid time", INTERNAL) from error


def _check_aggregator(name: str | None) -> None:
    if not name or (COMBINATIONS.find(name) is None and COMBINATIONS.find(name.lower()) is None):
        raise TsdbError("Invalid aggregator")


def _check_metric(metric: Metric, at: int, now_ms: int) -> None:
    _check_name(metric.name, "metric", at)
    try:
        if not metric.metric:
            raise TsdbError("missing or empty metric")
        if metric.time_offset:
            parse_time(metric.time_offset, None, now_ms)
        if metric.aggregator:
            _check_aggregator(metric.aggregator)
    except TsdbError as error:
        raise TsdbError(f"Invalid metric at index {at}", INTERNAL) from error


def _check_unique(names: Iterable[str], text: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise TsdbError(text + name, INTERNAL)
        seen.add(name)


def _formula(expression: Expression, at: int) -> Formula:
    _check_name(expression.name, "expression", at)
    if not expression.text:
        raise TsdbError(f"Invalid expression at index {at}", INTERNAL)
    try:
        return parse_formula(expression.text)
    except BadFormula as error:
        raise TsdbError(error.message, INTERNAL) from error


def _check_filter_names(query: ExpressionQuery) -> None:
    known = {one.name for one in query.filters or ()}
    for metric in query.metrics:
        if metric.filter_name and metric.filter_name not in known:
            raise TsdbError(f"unrecognized filter id {metric.filter_name} in metric {metric.name}", INTERNAL)
