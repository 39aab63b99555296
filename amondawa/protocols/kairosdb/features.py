"""GET /api/v1/features: what a user interface builds its forms from, made from the schemas of aggregators and groupings."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from amondawa.protocols.kairosdb.aggregators import ABOVE_ZERO, AGGREGATORS
from amondawa.protocols.kairosdb.fields import UNITS
from amondawa.protocols.kairosdb.grouping import GROUPINGS


def _listed(name: str, label: str, feature: dict[str, Any]) -> dict[str, Any]:
    """Describe a property of its own."""
    options = feature.get("options", [])
    return {
        "name": name,
        "label": label,
        "description": feature.get("description", ""),
        "optional": False,
        "type": feature["type"],
        "options": list(UNITS) if options == "units" else options,
        "defaultValue": feature["defaultValue"],
        "autocomplete": feature.get("autocomplete", ""),
        "multiline": False,
        "validations": [
            {"expression": c["expression"], "type": "js", "message": c["message"]} for c in feature["checks"]
        ],
    }


def _sampling(name: str, label: str) -> dict[str, Any]:
    """Describe a number of time units."""
    value = {"type": "long", "defaultValue": "1", "checks": (ABOVE_ZERO,)}
    unit = {"type": "enum", "defaultValue": "MILLISECONDS", "checks": (), "options": "units"}
    return {
        "name": name,
        "label": label,
        "optional": False,
        "type": "Object",
        "multiline": False,
        "properties": [_listed("value", "Value", value), _listed("unit", "Unit", unit)],
    }


def _properties(schema: Schema) -> list[dict[str, Any]]:
    """Describe the listed properties of a schema, by name."""
    found = []
    for name, one in sorted(schema.fields.items()):
        feature = one.metadata.get("feature")
        if feature is not None:
            describe = _sampling if feature.get("sampling") else None
            label = feature["label"]
            found.append(describe(name, label) if describe else _listed(name, label, feature))
    return found


def _pieces(registry: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": kind.label,
            "description": (kind.__doc__ or "").strip(),
            "properties": _properties(kind()),
        }
        for name, kind in registry
    ]


FEATURES: tuple[dict[str, Any], ...] = (
    {"name": "group_by", "label": "Group By", "properties": _pieces(GROUPINGS)},
    {"name": "aggregators", "label": "Aggregator", "properties": _pieces(AGGREGATORS)},
)
"""All features, as they are answered."""


def feature(name: str) -> list[dict[str, Any]] | None:
    """Return the pieces of one feature; None when there is no such feature."""
    for one in FEATURES:
        if one["name"] == name:
            return list(one["properties"])
    return None
