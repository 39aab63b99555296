"""Trees: rules that file series under branches, as /api/tree knows them. Source: suite tree.

A tree here is its definition alone. Its branches are worked out from the index when they are asked for, so they are never
behind the data: what the original stores while points come in is computed, and there are no collisions to repair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amondawa.errors import BadRequest
from amondawa.model.series import Series

TREE_FIELDS: dict[str, Any] = {
    "name": "",
    "description": "",
    "notes": "",
    "strictMatch": False,
    "enabled": False,
    "storeFailures": False,
}
RULE_FIELDS: dict[str, Any] = {
    "type": None,
    "field": "",
    "regex": "",
    "separator": "",
    "description": "",
    "notes": "",
    "customField": "",
    "regexGroupIdx": 0,
    "displayFormat": "",
}
TYPES = ("METRIC", "METRIC_CUSTOM", "TAGK", "TAGK_CUSTOM", "TAGV_CUSTOM")
MAX_TREES = 65_535


@dataclass(slots=True)
class Tree:
    """One tree.

    Attributes:
        tree_id: 1..65535.
        created: when it was made, seconds.
        fields: by the names of the wire.
        rules: fields of the rules by (level, order).
    """

    tree_id: int
    created: int
    fields: dict[str, Any] = field(default_factory=lambda: dict(TREE_FIELDS))
    rules: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """Return the tree as clients see it."""
        levels: dict[str, dict[str, Any]] = {}
        for level, order in sorted(self.rules):
            levels.setdefault(str(level), {})[str(order)] = self.wire_rule(level, order)
        return {**self.fields, "treeId": self.tree_id, "created": self.created, "rules": levels or None}

    def wire_rule(self, level: int, order: int) -> dict[str, Any]:
        """Return a rule as clients see it."""
        return {**self.rules[level, order], "level": level, "order": order, "treeId": self.tree_id}


def check_rule(rule: Mapping[str, Any]) -> None:
    """Check a rule's fields.

    Raises:
        BadRequest: with the original's text.
    """
    kind = rule["type"]
    if not kind:
        raise BadRequest("Missing rule type")
    if kind not in TYPES:
        raise BadRequest(f"Unrecognized type: {kind}")
    if kind != "METRIC" and not rule["field"]:
        raise BadRequest(f"Missing field name required for {kind} rule")
    if kind.endswith("CUSTOM") and not rule["customField"]:
        raise BadRequest(f"Missing custom field name required for {kind} rule")
    if rule["regex"]:
        try:
            groups = re.compile(rule["regex"]).groups
        except re.error as error:
            raise BadRequest(f"Invalid regular expression: {error}") from error
        if not 0 <= rule["regexGroupIdx"] < max(groups, 1):
            raise BadRequest("Invalid regex group index. Cannot be less than 0")


Customs = Mapping[str, Mapping[str, Any]]
"""what people wrote about names: "metric/NAME", "tagk/NAME", "tagv/NAME" -> custom pairs"""


def branch_path(tree: Tree, series: Series, customs: Customs) -> list[str] | None:
    """Return the names of the branches that lead to a series, its leaf last; None when no rule files it.

    Of the rules of one level the first (by order) that gives something counts.
    """
    path: list[str] = []
    for level in sorted({level for level, _ in tree.rules}):
        orders = sorted(order for one, order in tree.rules if one == level)
        names = next(filter(None, (_apply(tree.rules[level, order], series, customs) for order in orders)), None)
        if names:
            path += names
        elif tree.fields["strictMatch"]:
            return None
    return path or None


def _apply(rule: Mapping[str, Any], series: Series, customs: Customs) -> list[str]:
    value = _value_of(rule, series, customs)
    if not value:
        return []
    if rule["separator"]:
        parts = [part for part in value.split(rule["separator"]) if part]
    elif rule["regex"]:
        parts = _extracted(rule, value)
    else:
        parts = [value]
    return [_shown(rule, part, value) for part in parts]


def _extracted(rule: Mapping[str, Any], value: str) -> list[str]:
    found = re.search(rule["regex"], value)
    if found is None:
        return []
    number = rule["regexGroupIdx"] + 1
    part = found.group(number) if found.re.groups >= number else found.group()
    return [part] if part else []


def _value_of(rule: Mapping[str, Any], series: Series, customs: Customs) -> str | None:
    """Return the text that a rule works on."""
    kind = rule["type"]
    if kind == "METRIC":
        return series.metric
    if kind == "TAGK":
        return series.tag(rule["field"])
    if kind == "METRIC_CUSTOM":
        about = customs.get(f"metric/{series.metric}", {})
    elif kind == "TAGK_CUSTOM":
        about = customs.get(f"tagk/{rule['field']}", {}) if series.tag(rule["field"]) is not None else {}
    else:
        about = customs.get(f"tagv/{series.tag(rule['field'])}", {})
    value = about.get(rule["customField"])
    return None if value is None else str(value)


def _shown(rule: Mapping[str, Any], part: str, value: str) -> str:
    """Return a branch's name in the rule's display format."""
    shown: str = rule["displayFormat"]
    if not shown:
        return part
    tokens = {"{ovalue}": value, "{value}": part, "{tag_name}": rule["field"], "{tsuid}": ""}
    for token, text in tokens.items():
        shown = shown.replace(token, text)
    return shown
