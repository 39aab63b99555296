"""Trees: definitions, rules and the branches they give."""

from __future__ import annotations

from typing import Any

import pytest

from amondawa.errors import BadRequest
from amondawa.model.series import Series
from amondawa.protocols.opentsdb.tree_rules import RULE_FIELDS, Tree, branch_path, check_rule
from tests.protocols.opentsdb.served import Served

METRIC_RULE = {"treeId": 1, "level": 0, "order": 0, "type": "METRIC", "separator": "."}
HOST_RULE = {"treeId": 1, "level": 1, "order": 0, "type": "tagk", "field": "host"}


def with_rules(*rules: dict[str, Any], strict: bool = False) -> Tree:
    tree = Tree(1, 0)
    tree.fields["strictMatch"] = strict
    for level, rule in enumerate(rules):
        tree.rules[level, 0] = {**RULE_FIELDS, **rule}
    return tree


SERIES = Series.of("d", "sys.cpu.user", {"host": "web01", "dc": "lga"})


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"type": "METRIC"}, ["sys.cpu.user"]),
        ({"type": "METRIC", "separator": "."}, ["sys", "cpu", "user"]),
        ({"type": "METRIC", "regex": r"\.(\w+)$"}, ["user"]),
        ({"type": "METRIC", "regex": "nothing"}, None),
        ({"type": "TAGK", "field": "host"}, ["web01"]),
        ({"type": "TAGK", "field": "rack"}, None),
        (
            {"type": "TAGK", "field": "host", "displayFormat": "{tag_name}: {value} of {ovalue}"},
            ["host: web01 of web01"],
        ),
        ({"type": "METRIC_CUSTOM", "field": "x", "customField": "owner"}, ["ops"]),
        ({"type": "TAGK_CUSTOM", "field": "host", "customField": "floor"}, ["3"]),
        ({"type": "TAGV_CUSTOM", "field": "host", "customField": "model"}, ["z9"]),
    ],
)
def test_a_rule_gives_names_of_branches(rule: dict[str, Any], path: list[str] | None):
    customs = {"metric/sys.cpu.user": {"owner": "ops"}, "tagk/host": {"floor": "3"}, "tagv/web01": {"model": "z9"}}
    assert branch_path(with_rules(rule), SERIES, customs) == path


def test_a_strict_tree_files_only_what_every_level_matches():
    rules = ({"type": "TAGK", "field": "rack"}, {"type": "METRIC"})
    assert branch_path(with_rules(*rules), SERIES, {}) == ["sys.cpu.user"]
    assert branch_path(with_rules(*rules, strict=True), SERIES, {}) is None


@pytest.mark.parametrize(
    "rule",
    [{}, {"type": "FOO"}, {"type": "TAGK"}, {"type": "TAGV_CUSTOM", "field": "x"}, {"type": "METRIC", "regex": "("}],
)
def test_a_rule_that_is_not_right_is_refused(rule: dict[str, Any]):
    with pytest.raises(BadRequest):
        check_rule({**RULE_FIELDS, **rule})


async def test_trees_are_made_changed_and_removed(tsdb: Served):
    _, made = await tsdb.ask("POST", "/api/tree", {"name": "T", "notes": "n"})
    assert (made["treeId"], made["name"], made["rules"], made["enabled"]) == (1, "T", None, False)
    _, changed = await tsdb.ask("POST", "/api/tree", {"treeId": 1, "enabled": True})
    assert (changed["enabled"], changed["notes"]) == (True, "n")
    _, replaced = await tsdb.ask("PUT", "/api/tree", {"treeId": 1, "description": "d"})
    assert (replaced["name"], replaced["notes"], replaced["enabled"]) == ("", "", False)
    assert (await tsdb.ask("POST", "/api/tree", {"treeId": 1}))[0] == 304
    assert len((await tsdb.ask("GET", "/api/tree"))[1]) == 1
    assert (await tsdb.ask("DELETE", "/api/tree?treeid=1"))[0] == 204
    assert (await tsdb.ask("GET", "/api/tree?treeid=1"))[0] == 200
    assert (await tsdb.ask("DELETE", "/api/tree?treeid=1&definition=true"))[0] == 204
    assert (await tsdb.ask("GET", "/api/tree?treeid=1"))[0] == 404


async def test_the_same_rule_again_changes_nothing_and_bad_places_are_named(tsdb: Served):
    await tsdb.ask("POST", "/api/tree", {"name": "T"})
    await tsdb.ask("POST", "/api/tree/rule", METRIC_RULE)
    assert await tsdb.ask("POST", "/api/tree/rule", METRIC_RULE) == (304, "")
    assert (await tsdb.ask("PUT", "/api/tree/rule", METRIC_RULE))[0] == 200
    _, answer = await tsdb.ask("POST", "/api/tree/rule", {**METRIC_RULE, "order": -1})
    assert answer["error"]["message"] == "Invalid rule order"
    _, answer = await tsdb.ask("GET", "/api/tree/rule?treeid=1&level=x&order=0")
    assert answer["error"]["message"] == "Unable to parse the 'level' parameter"
    _, answer = await tsdb.ask("GET", "/api/tree/rule?treeid=1&order=0")
    assert answer["error"]["message"] == "Missing parameter <code>level</code>"


async def test_rules_are_made_changed_and_removed(tsdb: Served):
    await tsdb.ask("POST", "/api/tree", {"name": "T"})
    assert (await tsdb.ask("POST", "/api/tree/rule", METRIC_RULE))[1]["separator"] == "."
    assert (await tsdb.ask("GET", "/api/tree/rule?treeid=1&level=0&order=0"))[1]["type"] == "METRIC"
    assert (await tsdb.ask("GET", "/api/tree/rule?treeid=1&level=4&order=0"))[0] == 404
    assert (await tsdb.ask("PUT", "/api/tree/rules", [HOST_RULE]))[0] == 204
    _, tree = await tsdb.ask("GET", "/api/tree?treeid=1")
    assert {level: list(rules) for level, rules in tree["rules"].items()} == {"1": ["0"]}
    assert (await tsdb.ask("DELETE", "/api/tree/rule", {"treeId": 1, "level": 1}))[0] == 204
    assert (await tsdb.ask("POST", "/api/tree/rule", {"treeId": 1, "type": "FOO"}))[0] == 400
    assert (await tsdb.ask("POST", "/api/tree/rules", [METRIC_RULE, {**HOST_RULE, "treeId": 2}]))[0] == 400


async def test_branches_are_worked_out_from_the_series(tsdb: Served):
    await tsdb.put("sys.cpu", host="a")
    await tsdb.put("sys.mem", host="a")
    await tsdb.put("disk", host="b")
    await tsdb.ask("POST", "/api/tree", {"name": "T"})
    await tsdb.ask("POST", "/api/tree/rules", [METRIC_RULE, HOST_RULE])
    _, root = await tsdb.ask("GET", "/api/tree/branch?treeid=1")
    assert (root["displayName"], root["depth"], root["branchId"], root["leaves"]) == ("ROOT", 0, "0001", None)
    assert [one["displayName"] for one in root["branches"]] == ["disk", "sys"]
    _, sys = await tsdb.ask("GET", f"/api/tree/branch?branch={root['branches'][1]['branchId']}")
    assert [one["displayName"] for one in sys["branches"]] == ["cpu", "mem"]
    _, cpu = await tsdb.ask("GET", f"/api/tree/branch?branch={sys['branches'][0]['branchId']}")
    assert cpu["path"] == {"0": "ROOT", "1": "sys", "2": "cpu"}
    assert [(one["displayName"], one["metric"]) for one in cpu["leaves"]] == [("a", "sys.cpu")]
    assert (await tsdb.ask("GET", "/api/tree/branch?branch=0001FFFFFFFF"))[0] == 404
    _, tested = await tsdb.ask("GET", f"/api/tree/test?treeid=1&tsuids={cpu['leaves'][0]['tsuid']},00")
    assert [one["branch"] and one["branch"]["displayName"] for one in tested.values()] == ["cpu", None]
    assert await tsdb.ask("GET", "/api/tree/notmatched?treeid=1") == (200, {})
    assert await tsdb.ask("GET", "/api/tree/collisions?treeid=1") == (200, {})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "?treeid=abc", None, 400),
        ("GET", "?treeid=65000", None, 404),
        ("GET", "?treeid=70000", None, 400),
        ("POST", "", {"description": "no name"}, 400),
        ("PATCH", "", None, 400),
        ("GET", "/nosuch", None, 404),
        ("GET", "/branch", None, 400),
        ("POST", "/branch?treeid=1", None, 400),
        ("GET", "/test?tsuids=00", None, 400),
        ("GET", "/rules?treeid=9", None, 404),
    ],
)
async def test_tree_requests_that_are_not_right(tsdb: Served, method: str, path: str, body: Any, status: int):
    assert (await tsdb.ask(method, f"/api/tree{path}", body))[0] == status


@pytest.mark.parametrize("below", ["test", "collisions", "notmatched"])
async def test_series_of_a_tree_need_the_tree_in_parameters_or_body(tsdb: Served, below: str):
    await tsdb.ask("POST", "/api/tree", {"name": "t"})
    for path in (f"/api/tree/{below}", f"/api/tree/{below}?treeid="):
        _, answer = await tsdb.ask("GET", path)
        assert answer["error"]["message"] == "Missing parameter <code>treeid</code>"
    _, answer = await tsdb.ask("POST", f"/api/tree/{below}", {})
    assert answer["error"]["message"] == "Missing or invalid Tree ID"
    assert (await tsdb.ask("POST", f"/api/tree/{below}", {"treeId": 1, "tsuids": ["FFFFFF000001000001"]}))[0] == 200


async def test_rules_are_missed_after_the_tree_when_there_is_no_body(tsdb: Served):
    async def message(method: str, path: str, body: object = None) -> str:
        text: str = (await tsdb.ask(method, path, body))[1]["error"]["message"]
        return text

    assert await message("POST", "/api/tree/rules") == "Invalid Tree ID"
    assert await message("POST", "/api/tree/rules?treeid=abc") == "Unable to parse 'tree' value"
    assert await message("GET", "/api/tree/rules", []) == "Missing tree rules"
    assert await message("DELETE", "/api/tree/rules", b"null") == "Missing tree rules"
    await tsdb.ask("POST", "/api/tree", {"name": "t"})
    assert await message("POST", "/api/tree/rules?treeid=1") == "Missing tree rules"


@pytest.mark.parametrize("below", ["collisions", "notmatched"])
async def test_lists_of_a_tree_are_not_removed(tsdb: Served, below: str):
    await tsdb.ask("POST", "/api/tree", {"name": "t"})
    _, answer = await tsdb.ask("DELETE", f"/api/tree/{below}?treeid=1")
    assert answer["error"]["message"] == "Unsupported HTTP request method"
