"""Halves of surrogate pairs in bodies of JSON: a question mark each, never a broken answer."""

from __future__ import annotations

from typing import Any

import pytest

from amondawa.protocols.opentsdb.calls import parse_json
from tests.protocols.opentsdb.served import Served


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a\\ud800": ["\\udfffb", {"c": "\\uDc00"}]}', {"a?": ["?b", {"c": "?"}]}),
        (b'["\\ud83d\\ude00 \\ud83d"]', ["\U0001f600 ?"]),
        (b'["\xef\xbf\xbd\\ud800", 1.5, 3, null, true]', ["\ufffd?", 1.5, 3, None, True]),
    ],
)
def test_half_a_pair_becomes_a_question_mark(body: bytes, value: Any):
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/uid/assign", b'{"metric": ["\\ud800"]}'),
        ("/api/query/last", b'{"queries": [{"metric": "\\ud800"}]}'),
        ("/api/query", b'{"start": "\\ud800", "queries": [{"aggregator": "sum", "metric": "m"}]}'),
        ("/api/query", b'{"start": 1, "queries": [{"aggregator": "sum", "metric": "\\ud800"}]}'),
        ("/api/tree/rule", b'{"treeId": 1, "type": "\\ud800"}'),
        ("/api/suggest", b'{"type": "\\ud800"}'),
    ],
)
async def test_a_refusal_repeats_it_as_a_question_mark(tsdb: Served, path: str, body: bytes):
    await tsdb.put("m")
    await tsdb.ask("POST", "/api/tree", {"name": "t"})
    status, answer = await tsdb.ask("POST", path, body)
    assert 400 <= status < 500
    assert "?" in str(answer)


async def test_what_is_kept_has_a_question_mark(tsdb: Served):
    status, _ = await tsdb.ask("POST", "/api/tree", b'{"name": "t", "description": "\\ud800"}')
    assert status == 200
    _, trees = await tsdb.ask("GET", "/api/tree")
    assert [one["description"] for one in trees] == ["?"]
