"""Hashed tags of a real process: a grep over every table, file, journal, log and metric finds no clear value."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import boto3
import pytest
import zstandard

from compat_tests.access import AccessKey, ac, add_key, wait_for
from compat_tests.dynamodb_local import CREDENTIALS
from compat_tests.process import ServerProcess
from compat_tests.wire import call, eventually, talk

CLEAR = "alice-example"
SEEN = "robert-example"
"""The same of a domain that hashes nothing: where it is found, the clear value would have been found, too."""
TIME_S = 1_700_000_000
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
spaces = count()


@pytest.fixture(params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.dynamodb)])
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    space = f"hashed{next(spaces)}"
    url = request.getfixturevalue("endpoint")
    return {
        **CREDENTIALS,
        "AMDW_STORE": "dynamodb",
        "AMDW_DYNAMODB_ENDPOINT": url,
        "AMDW_TABLE_SPACE": space,
        "AMDW_MASTER_KEY": "00" * 32,
    }


# what is kept ---------------------------------------------------------------------------------------------------------


def unpacked(kept: bytes) -> bytes:
    """Return bytes with what their zstd frames hold behind them."""
    parts = [kept]
    at = kept.find(ZSTD_MAGIC)
    while at >= 0:
        with suppress(zstandard.ZstdError):  # four bytes that only look like a frame's
            parts.append(zstandard.ZstdDecompressor().decompressobj().decompress(kept[at:]))
        at = kept.find(ZSTD_MAGIC, at + 1)
    return b"\0".join(parts)


def kept_in_files(server: ServerProcess) -> bytes:
    """Return all that is in the files of a server, its log included."""
    return b"\0".join(path.read_bytes() for path in server.data.parent.rglob("*") if path.is_file())


def kept_in_tables(server: ServerProcess) -> bytes:
    """Return all names and values of all items of all tables of a server's space; nothing on the embedded store."""
    if "AMDW_TABLE_SPACE" not in server.env:
        return b""
    client = boto3.client(
        "dynamodb",
        endpoint_url=server.env["AMDW_DYNAMODB_ENDPOINT"],
        region_name="eu-west-1",
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    names = [name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    own = [name for name in names if name.startswith(f"{server.env['AMDW_TABLE_SPACE']}_")]
    assert len(own) > 4
    pages = client.get_paginator("scan")
    return b"\0".join(
        value if isinstance(value, bytes) else str(value).encode()
        for name in own
        for page in pages.paginate(TableName=name, ConsistentRead=True)
        for item in page["Items"]
        for attribute, typed in item.items()
        for value in (attribute, *typed.values())
    )


def spellings(text: str) -> list[bytes]:
    """Return the ways in which a text could be kept."""
    plain = text.encode()
    return [plain, plain.upper(), plain.hex().encode(), plain[::-1], text.encode("utf-16-le")]


def check_nothing_is_clear(server: ServerProcess) -> None:
    """Look through everything that a server keeps, and through what it says of itself."""
    files, tables = unpacked(kept_in_files(server)), unpacked(kept_in_tables(server))
    assert SEEN.encode() in (tables or files), "who looks so would have found it"
    assert [way for way in spellings(CLEAR) if way in files or way in tables] == []


# what is said ---------------------------------------------------------------------------------------------------------


def post(server: ServerProcess, key: AccessKey, path: str, body: Any, port: str = "kairosdb") -> Any:
    """Post a body, and return what was answered."""
    answer = call(getattr(server, port), "POST", path, body, key.basic)
    assert answer.status in (200, 204), (path, answer)
    return answer.json() if answer.status == 200 and answer.body else None


def query(user: str, metric: str, **more: Any) -> dict[str, Any]:
    return {"start_absolute": 0, "metrics": [{"name": metric, "tags": {"user": [user]}, **more}]}


def write_everywhere(server: ServerProcess, key: AccessKey, domain: str, user: str) -> None:
    """Write a point by every protocol, and wait for those that answer nothing."""
    tags = {"user": user, "host": "web1"}
    post(server, key, "/api/v1/datapoints", [{"name": "m.k", "tags": tags, "datapoints": [[TIME_S * 1000, 1]]}])
    native = [{"name": "m.n", "tags": tags, "timestamp": TIME_S * 1000, "value": "said"}]
    post(server, key, f"/api/v1/{domain}/datapoints", native, "http")
    post(server, key, "/api/put", [{"metric": "m.o", "timestamp": TIME_S, "value": 1, "tags": tags}], "opentsdb")
    for address, metric in ((server.opentsdb, "m.ot"), (server.kairosdb_telnet, "m.kt")):
        line = f"put {metric} {TIME_S} 1 user={user} host=web1\n"
        bad = f"put {metric} {TIME_S} nonsense user={user} host=web1\n"
        talk(address, f"auth {key.key} {key.secret}\n{line}{bad}".encode())

    def names() -> list[str]:
        return list(call(server.kairosdb, "GET", "/api/v1/metricnames", None, key.basic).json()["results"])

    assert len(eventually(names, lambda found: len(found) == 5)) == 5


def say_everywhere(server: ServerProcess, key: AccessKey, user: str) -> None:
    """Send the value by the routes that keep what clients say, by those that look for it, and in what is refused."""
    hourly = {"name": "sum", "sampling": {"value": 1, "unit": "hours"}}
    rollups = [{"save_as": "out", "query": query(user, "m.k", aggregators=[hourly])}]
    task = {"name": "task", "execution_interval": {"value": 1, "unit": "hours"}, "rollups": rollups}
    post(server, key, "/api/v1/rollups", task)
    post(server, key, f"/api/v1/metadata/service/{user}/{user}", user)
    found = call(server.opentsdb, "GET", f"/api/search/lookup?m=m.o%7Buser={user}%7D", None, key.basic).json()
    tsuid = found["results"][0]["tsuid"]
    note = {"startTime": TIME_S, "tsuid": tsuid, "description": user, "custom": {user: user}}
    post(server, key, "/api/annotation", note, "opentsdb")
    meta = {"uid": tsuid[-6:], "type": "tagv", "displayName": user}
    post(server, key, "/api/uid/uidmeta", meta, "opentsdb")
    post(server, key, "/api/tree", {"name": user, "description": user}, "opentsdb")
    for path in (f"/api/uid/assign?tagv={user}", f"/api/query?start=1&m=sum:m.o%7Buser=regexp({user})%7D", f"/{user}"):
        call(server.opentsdb, "GET", path, None, key.basic)
    call(server.kairosdb, "POST", "/api/v1/datapoints", b'[{"name": "m", "tags": {"user": "%b"}' % user.encode())


def found_points(server: ServerProcess, key: AccessKey, user: str) -> list[int]:
    """Return how many points the clear value finds in each metric."""
    metrics = [query(user, name)["metrics"][0] for name in ("m.k", "m.n", "m.o", "m.ot", "m.kt")]
    answer = post(server, key, "/api/v1/datapoints/query", {"start_absolute": 0, "metrics": metrics})
    return [one["sample_size"] for one in answer["queries"]]


def test_no_table_file_journal_log_or_metric_of_a_process_has_a_clear_value(server: ServerProcess) -> None:
    users = {"shop": CLEAR, "open": SEEN}
    keys = {domain: add_key(server, f"{domain}:rw") for domain in users}
    operator = add_key(server, "*:r")
    assert ac(server, "set_domain", "shop", "--hash-tag", "user").returncode == 0
    wait_for(server, keys["shop"], 200)
    assert server.terminate() == 0  # rules are read again within seconds; a start has them at once
    server.start().wait_ready()
    for domain, user in users.items():
        write_everywhere(server, keys[domain], domain, user)
        say_everywhere(server, keys[domain], user)
    metrics = call(server.http, "GET", "/metrics", None, operator.basic)
    assert metrics.status == 200
    assert CLEAR.encode() not in metrics.body
    check_nothing_is_clear(server)  # in the journal
    server.kill9()
    server.start().wait_ready()
    assert [found_points(server, keys[domain], user) for domain, user in users.items()] == [[1] * 5] * 2
    assert server.terminate() == 0
    check_nothing_is_clear(server)  # in chunks
    server.start().wait_ready()
    assert found_points(server, keys["shop"], CLEAR) == [1] * 5
    assert found_points(server, keys["shop"], SEEN) == [0] * 5
