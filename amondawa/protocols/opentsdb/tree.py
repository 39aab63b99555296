"""`/api/tree` and what is below it: definitions, rules, branches. Source: suite tree."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from amondawa.errors import BadRequest
from amondawa.model.query import MAX_TIME_MS, MIN_TIME_MS, Selection
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.calls import NO_CONTENT, NOT_MODIFIED, Answer, Call, Handler
from amondawa.protocols.opentsdb.errors import NoSuchId, TsdbError
from amondawa.protocols.opentsdb.javamap import java_ordered
from amondawa.protocols.opentsdb.schemas import TreeBody, TreeRuleBody, TreeTestBody, load, load_many
from amondawa.protocols.opentsdb.tree_rules import (
    MAX_TREES,
    RULE_FIELDS,
    TREE_FIELDS,
    Customs,
    Tree,
    branch_path,
    check_rule,
)
from amondawa.protocols.opentsdb.tree_store import COLLECTION, all_trees, change_tree, fetch_tree, save_tree
from amondawa.protocols.opentsdb.uid import KINDS, Uids, parse_uids, uids_of
from amondawa.protocols.opentsdb.uid_meta import UID_COLLECTION

NO_RULES = "Missing tree rules"
UNSUPPORTED = "Unsupported HTTP request method"
TREE_HEX = 4
NAME_HEX = 8

Fields = dict[str, Any]


async def tree(call: Call) -> Answer:
    """Lead a request to its endpoint."""
    words = call.path.split("/")
    handler = _ENDPOINTS.get(words[2].lower() if len(words) > 2 else "")
    if handler is None:
        raise TsdbError("This endpoint is not supported", 404)
    return await handler(call)


# definitions ------------------------------------------------------------------------------------------------------


def _tree_id(call: Call) -> int:
    text = call.params.get("treeid")
    return 0 if text is None else _integer(text, "Unable to parse 'tree' value")


def _integer(text: str, problem: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise TsdbError(problem, 400, f'For input string: "{text}"') from error


def _flag(text: str | None) -> bool | None:
    return None if text is None else text.lower() == "true"


async def _tree_given(call: Call) -> Fields:
    if await call.read():
        return load(TreeBody, await call.json())
    params = call.params
    return {
        "treeId": _tree_id(call),
        **{name: params.get(name) for name in ("name", "description", "notes")},
        "enabled": _flag(params.get("enabled")),
        "strictMatch": _flag(params.get("strict_match")),
        "storeFailures": _flag(params.get("store_failures")),
    }


async def _definition(call: Call) -> Answer:
    method = call.api_method
    given = await _tree_given(call)
    tree_id = given.get("treeId") or 0
    if method == "GET":
        if tree_id == 0:
            return Answer.json([one.wire() for one in await all_trees(call)])
        return Answer.json((await fetch_tree(call, tree_id)).wire())
    if method in ("POST", "PUT"):
        return await (_edit(call, tree_id, given, method == "PUT") if tree_id else _create(call, given))
    if method == "DELETE":
        await fetch_tree(call, tree_id)
        if (call.params.get("definition") or "").lower() == "true":
            await call.scope.gateway.delete_document(call.domain, COLLECTION, f"{tree_id:05d}")
        return NO_CONTENT
    raise TsdbError(UNSUPPORTED)


def _said(given: Fields, defaults: Fields) -> Fields:
    """Return the given fields that are not null."""
    return {name: given[name] for name in defaults if given.get(name) is not None}


async def _create(call: Call, given: Fields) -> Answer:
    if not given.get("name"):
        raise TsdbError("Tree was missing the name", 400, "Tree was missing the name")
    while True:
        tree_id = max((one.tree_id for one in await all_trees(call)), default=0) + 1
        if tree_id > MAX_TREES:
            raise TsdbError("Exhausted all Tree IDs", 400, "Exhausted all Tree IDs")
        made = Tree(tree_id, call.scope.gateway.now_ms // 1000, {**TREE_FIELDS, **_said(given, TREE_FIELDS)})
        if await save_tree(call, made, None):
            return Answer.json(made.wire())


async def _edit(call: Call, tree_id: int, given: Fields, replace: bool) -> Answer:
    said = _said(given, TREE_FIELDS)
    if not said:
        await fetch_tree(call, tree_id)
        return NOT_MODIFIED

    def change(one: Tree) -> None:
        one.fields = {**(TREE_FIELDS if replace else one.fields), **said}

    one, _ = await change_tree(call, tree_id, change)
    return Answer.json(one.wire())


# rules ------------------------------------------------------------------------------------------------------------


async def _rule_given(call: Call) -> Fields:
    if await call.read():
        return load(TreeRuleBody, await call.json())
    params = call.params
    names = {"customField": "custom_field", "regexGroupIdx": "regex_group_idx", "displayFormat": "display_format"}
    params.required("treeid")
    given: Fields = {"treeId": _tree_id(call)}
    for name in ("level", "order"):
        given[name] = _integer(params.required(name), f"Unable to parse the '{name}' parameter")
    return load(TreeRuleBody, {**given, **{name: params.get(names.get(name, name)) for name in RULE_FIELDS}})


def _put_rule(one: Tree, given: Fields, replace: bool) -> tuple[int, int]:
    """Put a rule into a tree; return its level and order.

    Raises:
        TsdbError: 400, the rule is not right.
    """
    place = (given.get("level") or 0, given.get("order") or 0)
    for name, number in zip(("level", "order"), place, strict=True):
        if number < 0:
            raise TsdbError(f"Invalid rule {name}", 400, f"Invalid rule {name}")
    said = _said(given, RULE_FIELDS)
    if said.get("type"):
        said["type"] = said["type"].upper()
    rule = {**(RULE_FIELDS if replace else one.rules.get(place, RULE_FIELDS)), **said}
    try:
        check_rule(rule)
    except BadRequest as error:
        raise TsdbError(error.message, 400, error.message) from error
    one.rules[place] = rule
    return place


async def _rule(call: Call) -> Answer:
    method = call.api_method
    given = await _rule_given(call)
    one = await fetch_tree(call, given.get("treeId") or 0)
    place = (given.get("level") or 0, given.get("order") or 0)
    if method in ("POST", "PUT"):
        if not _said(given, RULE_FIELDS):
            return NOT_MODIFIED
        before = one.rules.get(place)
        one, place = await change_tree(call, one.tree_id, lambda tree: _put_rule(tree, given, method == "PUT"))
        same = method == "POST" and one.rules[place] == before
        return NOT_MODIFIED if same else Answer.json(one.wire_rule(*place))
    if method not in ("GET", "DELETE"):
        raise TsdbError(UNSUPPORTED)
    if place not in one.rules:
        raise TsdbError(f"Unable to locate rule: [{one.tree_id}:{place[0]}:{place[1]}:null]", 404)
    if method == "GET":
        return Answer.json(one.wire_rule(*place))
    await change_tree(call, one.tree_id, lambda tree: tree.rules.pop(place, None))
    return NO_CONTENT


async def _rules(call: Call) -> Answer:
    """Add, replace or remove all rules of a tree."""
    method = call.api_method
    told = bool(await call.read())
    given = load_many(TreeRuleBody, await call.json() or []) if told else []
    if told and not given:
        raise TsdbError(NO_RULES)
    tree_ids = {rule.get("treeId") or 0 for rule in given} or {_tree_id(call)}
    if len(tree_ids) > 1:
        raise TsdbError("All rules must belong to the same tree")
    tree_id = tree_ids.pop()
    await fetch_tree(call, tree_id)
    if method not in ("POST", "PUT", "DELETE"):
        raise TsdbError(UNSUPPORTED)
    if method != "DELETE" and not given:
        raise TsdbError(NO_RULES)

    def change(one: Tree) -> None:
        if method != "POST":
            one.rules = {}
        for rule in given if method != "DELETE" else ():
            _put_rule(one, rule, method == "PUT")

    await change_tree(call, tree_id, change)
    return NO_CONTENT


# branches ---------------------------------------------------------------------------------------------------------


def _branch_id(tree_id: int, path: list[str]) -> str:
    """Return the id of a branch: the tree's, then the hash of each name on the way."""
    hashes = (f"{_name_hash(name):0{NAME_HEX}X}" for name in path)
    return f"{tree_id:0{TREE_HEX}X}" + "".join(hashes)


def _name_hash(name: str) -> int:
    value = 0
    for char in name:
        value = (value * 31 + ord(char)) & 0xFFFFFFFF
    return value


async def _customs(call: Call, uids: Uids) -> Customs:
    """Return what people wrote about names, by kind and name."""
    customs = {}
    for key, value in await call.scope.gateway.list_documents(call.domain, UID_COLLECTION):
        kind_name, _, text = key.partition("/")
        ids = parse_uids(text)
        for kind in KINDS:
            if kind == kind_name and ids and (name := uids.name_of(kind, ids[0])):
                customs[f"{kind}/{name}"] = orjson.loads(value).get("custom") or {}
    return customs


async def _paths(call: Call, uids: Uids, one: Tree) -> list[tuple[list[str] | None, Fields]]:
    """Return each series of the domain as a leaf, with the way to it (None = no rule files it)."""

    async def read() -> list[tuple[list[str] | None, Fields]]:
        customs = await _customs(call, uids)
        found = await call.scope.gateway.find_series(Selection(call.domain, ""), MIN_TIME_MS, MAX_TIME_MS)
        return await asyncio.to_thread(_leaves, uids, one, found, customs)

    return await uids.settled(read)


def _leaves(uids: Uids, one: Tree, found: list[Series], customs: Customs) -> list[tuple[list[str] | None, Fields]]:
    """Return series as leaves with the ways to them. Any thread."""
    leaves = []
    for series in found:
        if uids.rollups.is_rollup(series.metric):
            continue
        shown = uids.wire_series(series)
        path = branch_path(one, shown, customs)
        tags = java_ordered(dict(shown.tags))
        leaf = {"displayName": path[-1] if path else "", "metric": shown.metric, "tags": tags}
        leaves.append((path, {**leaf, "tsuid": uids.tsuid(series)}))
    return leaves


async def _branch(call: Call) -> Answer:
    if call.api_method != "GET":
        raise TsdbError(UNSUPPORTED)
    asked = (call.params.get("branch") or "").upper()
    tree_id = _tree_id(call)
    if asked:
        try:
            tree_id = int(asked[:TREE_HEX], 16)
        except ValueError as error:
            raise TsdbError(f'For input string: "{asked}"') from error
    elif tree_id < 1:
        raise TsdbError("Missing or invalid branch and tree IDs")
    one = await fetch_tree(call, tree_id)
    asked = asked or _branch_id(tree_id, [])
    shown = _render_branch(one, asked, await _paths(call, await uids_of(call.scope, call.domain), one))
    if shown is None:
        raise TsdbError(f"Unable to locate branch '{asked}' for tree '{tree_id}'", 404)
    return Answer.json(shown)


def _render_branch(one: Tree, asked: str, leaves: list[tuple[list[str] | None, Fields]]) -> Fields | None:
    """Return a branch with what hangs on it; None when there is none of this id."""
    depth = (len(asked) - TREE_HEX) // NAME_HEX
    way: list[str] | None = [] if depth == 0 else None
    branches: dict[str, Fields] = {}
    own: list[Fields] = []
    for path, leaf in leaves:
        if path is None or len(path) <= depth or _branch_id(one.tree_id, path[:depth]) != asked:
            continue
        way = path[:depth]
        if len(path) == depth + 1:
            own.append(leaf)
        else:
            branches.setdefault(path[depth], _described(one, path[: depth + 1]))
    if way is None:
        return None
    inner = [branches[name] for name in sorted(branches)]
    return {**_described(one, way), "leaves": own or None, "branches": inner or None}


def _described(one: Tree, way: list[str]) -> Fields:
    names = ["ROOT", *way]
    return {
        "treeId": one.tree_id,
        "branchId": _branch_id(one.tree_id, way),
        "displayName": names[-1],
        "depth": len(way),
        "path": {str(depth): name for depth, name in enumerate(names)},
    }


async def _series_given(call: Call) -> Fields:
    """Return the tree and the series that a request names: in its body when it has one, else in the query string.

    Raises:
        TsdbError: 400, it names no tree.
    """
    if await call.read():
        given = load(TreeTestBody, await call.json())
    else:
        call.params.required("treeid")
        text = call.params.get("tsuids")
        given = {"treeId": _tree_id(call), "tsuids": text.split(",") if text else None}
    if given["treeId"] is None:
        raise TsdbError("Missing or invalid Tree ID")
    return given


async def _listed_tree(call: Call) -> Tree:
    """Return the tree whose series are to be listed."""
    one = await fetch_tree(call, (await _series_given(call))["treeId"])
    if call.api_method not in ("GET", "POST", "PUT"):
        raise TsdbError(UNSUPPORTED)
    return one


async def _test(call: Call) -> Answer:
    """Show where series would be filed."""
    given = await _series_given(call)
    one = await fetch_tree(call, given["treeId"])
    if not given["tsuids"]:
        raise TsdbError("Missing or empty TSUID list")
    uids = await uids_of(call.scope, call.domain)
    customs = await _customs(call, uids)
    results: Fields = {}
    for tsuid in given["tsuids"]:
        try:
            path = branch_path(one, uids.wire_series(uids.series_of_tsuid(tsuid)), customs)
        except NoSuchId:
            results[tsuid] = {"branch": None, "messages": [f"Unable to locate TSUID meta data for ID: {tsuid}"]}
            continue
        messages = [] if path else ["No rules matched"]
        results[tsuid] = {"branch": _described(one, path[:-1]) if path else None, "messages": messages}
    return Answer.json(results)


async def _collisions(call: Call) -> Answer:
    """List series that would take a leaf's place: a branch holds as many leaves of a name as there are series."""
    await _listed_tree(call)
    return Answer.json({})


async def _not_matched(call: Call) -> Answer:
    """List the series that no rule files."""
    one = await _listed_tree(call)
    leaves = await _paths(call, await uids_of(call.scope, call.domain), one)
    return Answer.json({leaf["tsuid"]: "No rules matched" for path, leaf in leaves if path is None})


_ENDPOINTS: dict[str, Handler] = {
    "": _definition,
    "branch": _branch,
    "rule": _rule,
    "rules": _rules,
    "test": _test,
    "collisions": _collisions,
    "notmatched": _not_matched,
}
