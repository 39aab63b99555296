"""Trees as they are kept: one document each, changed by condition, so that of changes that meet none is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import orjson

from amondawa.protocols.opentsdb.calls import Call
from amondawa.protocols.opentsdb.errors import TsdbError
from amondawa.protocols.opentsdb.tree_rules import MAX_TREES, Tree

COLLECTION = "opentsdb.trees"

T = TypeVar("T")


def _parse_tree(value: bytes) -> Tree:
    kept = orjson.loads(value)
    rules = {(rule.pop("level"), rule.pop("order")): rule for rule in kept["rules"]}
    return Tree(kept["tree_id"], kept["created"], kept["fields"], rules)


async def fetch_tree(call: Call, tree_id: int) -> Tree:
    """Return a tree.

    Raises:
        TsdbError: 400, no id of a tree; 404, no such tree.
    """
    return (await _fetch_kept(call, tree_id))[0]


async def _fetch_kept(call: Call, tree_id: int) -> tuple[Tree, bytes]:
    """Return a tree and how it is kept; see `fetch_tree` for what it raises."""
    if not 0 < tree_id <= MAX_TREES:
        raise TsdbError("Invalid Tree ID", 400, "Invalid Tree ID")
    value = await call.scope.gateway.get_document(call.domain, COLLECTION, f"{tree_id:05d}")
    if value is None:
        raise TsdbError(f"Unable to locate tree: {tree_id}", 404)
    return _parse_tree(value), value


async def save_tree(call: Call, one: Tree, expected: bytes | None) -> bool:
    """Keep a tree in place of what is expected there; say whether another change was faster."""
    rules = [{**fields, "level": level, "order": order} for (level, order), fields in sorted(one.rules.items())]
    kept = {"tree_id": one.tree_id, "created": one.created, "fields": one.fields, "rules": rules}
    key = f"{one.tree_id:05d}"
    return await call.scope.gateway.put_document_if(call.domain, COLLECTION, key, orjson.dumps(kept), expected)


async def change_tree(call: Call, tree_id: int, change: Callable[[Tree], T]) -> tuple[Tree, T]:
    """Change a tree, anew when another change was faster; return it and what `change` returned.

    Raises:
        TsdbError: there is no such tree; whatever `change` raises.
    """
    while True:
        one, kept = await _fetch_kept(call, tree_id)
        out = change(one)
        if await save_tree(call, one, kept):
            return one, out


async def all_trees(call: Call) -> list[Tree]:
    """Return the trees of the request's domain, by id."""
    return [_parse_tree(value) for _, value in await call.scope.gateway.list_documents(call.domain, COLLECTION)]
