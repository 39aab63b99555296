"""The `m=` and `tsuid=` grammar of query strings.

    m     = agg ":" [downsample ":"] ["rate" ["{" options "}"] ":"] ... metric ["{" grouping "}" ["{" filters "}"]]
    tsuid = agg ":" ... tsuid ["," tsuid ...]

The parts between aggregator and metric may stand in any order; unknown ones are passed over.
Source: suites query_basic, query_filters, query_rate, query_errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from amondawa.aggregate.counter import MAX_COUNTER, CounterRules
from amondawa.errors import BadRequest
from amondawa.protocols.opentsdb.calls import Params
from amondawa.protocols.opentsdb.data_query import DataQuery, SubQuery, float32s
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.filters import BadFilter, TagVFilter, add_tags
from amondawa.protocols.opentsdb.gexp_grammar import CallNode, parse_gexp
from amondawa.protocols.opentsdb.values import parse_long

INTERNAL = 500
"""the status OpenTSDB gives to a metric or tag that its grammar cannot read"""


def parse_query(params: Params, expressions: bool = True) -> DataQuery:
    """Read a query string; `tsuid` sub queries come before `m` ones, and those before the metrics of expressions.

    Args:
        params: the parameters.
        expressions: whether metrics of graphite-like expressions are asked for too.

    Raises:
        TsdbError: 400, or 500 where OpenTSDB has it.
    """
    start = params.required("start")
    by_tsuid = tuple(parse_tsuid(text) for text in params.all("tsuid"))
    by_metric = tuple(parse_m(text) for text in params.all("m"))
    trees = parse_expressions(params) if expressions else []
    by_expression = tuple(parse_m(text) for tree in trees for text in tree.metrics())
    subs = by_tsuid + by_metric + by_expression
    if not subs:
        raise TsdbError("Missing sub queries")
    return with_flags(DataQuery(start, params.get("end"), subs), params)


def parse_expressions(params: Params) -> list[CallNode]:
    """Read the graphite-like expressions of a query string.

    Raises:
        TsdbError: 500, one cannot be read.
    """
    return [parse_gexp(text) for text in params.all("exp")]


def with_flags(query: DataQuery, params: Params) -> DataQuery:
    """Add the flags of a query string, which count by being there."""
    return replace(
        query,
        ms="ms" in params,
        arrays="arrays" in params,
        show_query="show_query" in params,
        show_tsuids="show_tsuids" in params,
        show_stats="show_stats" in params,
        show_summary="show_summary" in params,
        annotations="no_annotations" not in params,
        global_annotations="global_annotations" in params,
    )


def parse_m(text: str) -> SubQuery:
    """Read one `m` parameter.

    Raises:
        TsdbError: 400, or 500 where OpenTSDB has it.
    """
    parts = _split(text)
    metric, filters = parse_metric(parts[-1])
    sub = SubQuery(parts[0], metric, filters=filters)
    for part in parts[1:-1]:
        sub = _with_part(sub, part)
    return sub


def parse_tsuid(text: str) -> SubQuery:
    """Read one `tsuid` parameter.

    Raises:
        TsdbError: 400.
    """
    if not text:
        raise TsdbError("The tsuid query string was empty")
    parts = _split(text)
    sub = SubQuery(parts[0], tsuids=tuple(parts[-1].rstrip(",").split(",")))
    for part in parts[1:-1]:
        sub = _with_part(sub, part)
    return replace(sub, explicit_tags=False)


def _split(text: str) -> list[str]:
    if not text:
        raise TsdbError("The query string was empty")
    parts = text.split(":")
    if not 2 <= len(parts) <= 5:
        amount = "not enough" if len(parts) < 2 else "too many"
        raise TsdbError(f"Invalid parameter m={text} ({amount} :-separated parts)")
    return parts


def _with_part(sub: SubQuery, part: str) -> SubQuery:
    """Understand a part between aggregator and metric.

    Raises:
        TsdbError: 500, it is empty; 400, it is not right.
    """
    if not part:
        raise TsdbError("String index out of range: 0", INTERNAL)
    lower = part.lower()
    if lower.startswith("rate"):
        return replace(sub, rate=True, rate_rules=parse_rate(part) if "{" in part else sub.rate_rules)
    if part[:1].isdigit():
        return replace(sub, downsample=part)
    if lower.startswith("percentiles"):
        return replace(sub, percentiles=parse_percentiles(part))
    if lower.startswith("show-histogram-buckets"):
        return replace(sub, show_buckets=True)
    if lower.startswith("explicit_tags"):
        return replace(sub, explicit_tags=True)
    if lower == "pre-agg":
        return replace(sub, pre_aggregate=True)
    if lower.startswith("rollup_"):
        return replace(sub, rollup_usage=part.upper())
    return sub


def parse_rate(text: str) -> CounterRules:
    """Read `rate{counter[,max[,reset]]}`; anything but (drop)counter in the first place is a plain rate.

    Raises:
        TsdbError: 400.
    """
    if len(text) < 6:
        raise TsdbError(f"Invalid rate options specification: {text}")
    parts = text[5:-1].split(",")
    if len(parts) > 3:
        raise TsdbError(
            "Incorrect number of values in rate options specification, must be "
            f"counter[,counter max value,reset value], recieved: {len(parts)} parts"
        )
    maximum, reset = (parts[1:] + ["", ""])[:2]
    return CounterRules(
        parts[0].endswith("counter"),
        _rate_number(maximum, "Max", MAX_COUNTER),
        _rate_number(reset, "Reset", 0),
        parts[0] == "dropcounter",
    )


def _rate_number(text: str, word: str, default: int) -> int:
    if not text:
        return default
    try:
        return parse_long(text)
    except BadRequest as error:
        raise TsdbError(f"{word} value of counter was not a number, received '{text}'") from error


def parse_percentiles(text: str) -> tuple[float, ...]:
    """Read `percentiles[50,99.9]`.

    Raises:
        TsdbError: 400; 500 when something else than numbers stands in the brackets.
    """
    start, end = text.find("["), text.find("]")
    if start < 0 or end < start:
        raise TsdbError(f"Malformated percentile query paramater: {text}")
    parts = text[start + 1 : end].split(",")
    try:
        return float32s(sorted(float(part) for part in parts))
    except ValueError as error:
        wrong = next((part.strip() for part in parts if not _is_number(part)), "")
        raise TsdbError(f'For input string: "{wrong}"' if wrong else "empty String", INTERNAL) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_metric(text: str) -> tuple[str, tuple[TagVFilter, ...]]:
    """Split `metric{grouping}{filters}` into the metric and its filters, those of the second braces first.

    Raises:
        TsdbError: 500, as OpenTSDB answers what this grammar cannot read.
    """
    if not text:
        raise TsdbError("Metric cannot be null or empty", INTERNAL)
    opening = text.find("{")
    if opening < 0:
        return text, ()
    if not text.endswith("}"):
        raise TsdbError(f"Missing '}}' at the end of: {text}", INTERNAL)
    filters: list[TagVFilter] = []
    closing = text.find("}", opening)
    twofold = closing != len(text) - 1
    if twofold:
        last = text[text.rfind("{") + 1 : -1]
        _read_pairs(last, "filter", True, lambda pair: add_tags(filters, [pair], group_by=False))
    if closing > opening + 1:
        tags = text[opening + 1 : closing]
        _read_pairs(tags, "tag", twofold, lambda pair: add_tags(filters, [pair], group_by=True))
    return text[:opening], tuple(filters)


def _read_pairs(text: str, what: str, end_at_empty: bool, take: Callable[[tuple[str, str]], None]) -> None:
    """Hand each `name=text` of a comma-separated list on."""
    for part in text.split(","):
        if not part and end_at_empty:
            return
        try:
            take(_pair(part))
        except (BadFilter, BadRequest) as error:
            raise TsdbError(f"When parsing {what} '{part}': {error}", INTERNAL) from error


def _pair(text: str) -> tuple[str, str]:
    """Split `name=text`."""
    parts = text.split("=")
    if len(parts) != 2 or not parts[0] or not parts[1]:
        raise BadFilter(f"invalid tag: {text}")
    return parts[0], parts[1]
