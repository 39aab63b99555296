"""The aggregators, groupings and plugins of a query: from JSON to their properties, in KairosDB's order of checks.

Source: suites query_errors and internal_errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from amondawa.aggregate.registry import Registry
from amondawa.protocols.kairosdb.elements import IllegalState, items_of, members_of, text_of
from amondawa.protocols.kairosdb.fields import NULL
from amondawa.protocols.kairosdb.java_numbers import InternalFailure
from amondawa.protocols.kairosdb.problems import RequestRefused, SyntaxRefused, load_properties

_PACKAGE = {"aggregators": "aggregator", "group_by": "groupby"}
_SCHEMAS: dict[tuple[str, str], Schema] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """An aggregator or grouping that was asked for: its name and its properties, defaults included."""

    name: str
    properties: dict[str, Any]


def read_pieces(raw: dict[str, Any], key: str, registry: Registry[Any], place: str) -> tuple[Piece, ...]:
    """Read the aggregators or groupings of a metric.

    Args:
        raw: the metric.
        key: where they stand in it.
        registry: those there are.
        place: of the metric.

    Raises:
        RequestRefused: one is wrong; the messages name the place.
        InternalFailure: one is wrong in a way that KairosDB answers with 500.
    """
    return tuple(
        _read_piece(one, name, key, registry, f"{place}.{key}[{at}]") for at, (name, one) in _named(raw, key, place)
    )


def check_plugins(raw: dict[str, Any], place: str) -> None:
    """Refuse every query plugin: there are none.

    Raises:
        RequestRefused, InternalFailure: there is something.
    """
    for at, (name, _) in _named(raw, "plugins", place):
        raise RequestRefused(f"{place}.plugins[{at}].{name} invalid query plugin name")


def _named(raw: dict[str, Any], key: str, place: str) -> Any:
    """Yield position, name and object of each member of a list, as far as they are all right."""
    if key not in raw:
        return
    try:
        for at, element in enumerate(items_of(raw[key])):
            one = members_of(element)
            name = text_of(one["name"]) if "name" in one else ""
            if not name:
                raise RequestRefused(f"{place}.{key}[{at}] must have a name".lstrip("."))
            yield at, (name, one)
    except IllegalState as error:
        raise InternalFailure(error.text) from error


def _read_piece(raw: dict[str, Any], name: str, key: str, registry: Registry[Any], place: str) -> Piece:
    kind = registry.find(name)
    if kind is None:
        raise RequestRefused(f"{place}.{name} invalid {key} name")
    schema = _SCHEMAS.get((key, name))
    if schema is None:
        schema = _SCHEMAS.setdefault((key, name), kind())
    properties = {one: value for one, value in raw.items() if one != "name"}
    _check_properties(schema, properties, place, f"org.kairosdb.core.{_PACKAGE[key]}.{kind.java_class}", name)
    return Piece(name, load_properties(schema, properties, place))


def _check_properties(schema: Schema, properties: dict[str, Any], place: str, java_class: str, name: str) -> None:
    """Refuse the first property that is null or that nothing takes, unless one before it is wrong."""
    for at, (key, value) in enumerate(properties.items()):
        if key in schema.fields and value is not None:
            continue
        load_properties(schema, dict(list(properties.items())[:at]), place, partial=True)
        if key in schema.fields:
            raise InternalFailure(NULL)
        raise SyntaxRefused(
            f"Property '{key}' was specified for object '{name}' but no matching setter was found on 'class {java_class}'"
        )
