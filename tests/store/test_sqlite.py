from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from amondawa.errors import ConfigError, Corrupt, StorageFull, StoreError
from amondawa.store.base import BlockStore, Capacity, Item
from amondawa.store.sqlite import SqliteStore
from tests.store.contract import INDEX, META, TABLE, StoreContract, item, run_all


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "data")
    store.open()
    yield store
    store.close()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, store: SqliteStore) -> BlockStore:
        return store


def reopened(store: SqliteStore) -> SqliteStore:
    store.close()
    store.open()
    return store


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


# what lasts -----------------------------------------------------------------------------------------------------------


def test_items_tables_and_segments_outlive_the_store(store: SqliteStore) -> None:
    store.create_table(TABLE, Capacity(5, 10))
    store.create_table(META)
    store.put(TABLE, [item(b"h", b"r", b"x" * 9_000)])
    store.journal_append(4, 1, b"entry")
    reopened(store)
    assert store.tables() == [TABLE, META]
    assert store.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r", b"x" * 9_000)]
    assert store.journal_segments() == [4]
    assert list(store.journal_read(4)) == [b"entry"]


WRITER = """
import os, sys
from amondawa.store.base import Item
from amondawa.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
store.open()
store.create_table("datapoints_b")
store.create_table("index_b")
n = 0
while True:
    n += 1
    store.change(
        {"datapoints_b": [Item(b"h", b"%08d" % n, os.urandom(3000))], "index_b": [Item(b"h", b"%08d" % n, b"")]},
        {"datapoints_b": [(b"h", b"%08d" % (n - 50))], "index_b": [(b"h", b"%08d" % (n - 50))]},
    )
    store.journal_append(1, n, b"%d" % n)
    print(n, flush=True)
"""


def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 120:
            break
    child.kill()
    last = int((line + child.stdout.read()).split()[-1])
    child.wait()
    child.stdout.close()
    store = SqliteStore(tmp_path)
    store.open()
    entries = [int(entry) for entry in store.journal_read(1)]
    assert entries[:last] == list(range(1, last + 1))
    chunks = [found.range for page in store.query("datapoints_b", b"h") for found in page]
    index = [found.range for page in store.query("index_b", b"h") for found in page]
    assert chunks == index
    assert len(chunks) == 50
    assert int(chunks[-1]) >= last
    store.close()


def test_a_file_that_a_crash_left_without_tables_or_entries_is_removed(store: SqliteStore, tmp_path: Path) -> None:
    store.create_table(TABLE)
    store.journal_append(1, 1, b"entry")
    store.close()
    for name in ("blocks/left.sqlite", "journal/9.sqlite"):
        (tmp_path / "data" / name).touch()
    store.open()
    assert store.tables() == [TABLE]
    assert store.journal_segments() == [1]
    assert not (tmp_path / "data/blocks/left.sqlite").exists()
    assert not (tmp_path / "data/journal/9.sqlite").exists()


# room -----------------------------------------------------------------------------------------------------------------


def test_a_block_whose_tables_are_deleted_leaves_no_file(store: SqliteStore, tmp_path: Path) -> None:
    for table in (TABLE, INDEX, META):
        store.create_table(table)
        store.put(table, [item(b"h", b"r")])
    store.delete_table(TABLE)
    assert (tmp_path / "data/blocks/0-86400.sqlite").exists()
    store.delete_table(INDEX)
    store.delete_table(META)
    assert [name for name in files(tmp_path / "data") if name.startswith("blocks")] == []
    assert store.tables() == []


def test_a_dropped_segment_leaves_no_file(store: SqliteStore, tmp_path: Path) -> None:
    store.journal_append(1, 1, b"x" * 1_000_000)
    store.journal_drop(1)
    assert [name for name in files(tmp_path / "data") if name.startswith("journal")] == []


def test_tidy_cuts_the_log_and_gives_freed_pages_back(store: SqliteStore, tmp_path: Path) -> None:
    store.create_table(TABLE)
    many = [item(b"h%d" % n, b"r", os.urandom(9_000)) for n in range(2_500)]
    store.put(TABLE, many)
    path = tmp_path / "data/blocks/0-86400.sqlite"
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 0
    store.tidy()
    assert log.stat().st_size == 0
    full = path.stat().st_size
    assert full < 1.15 * sum(len(one.value) for one in many)
    store.delete(TABLE, [(one.hash, one.range) for one in many[:2_000]])
    store.tidy()
    assert path.stat().st_size < full / 2
    assert store.get(TABLE, [(many[-1].hash, b"r")]) == [many[-1]]


def test_tidy_drops_items_whose_time_has_come(store: SqliteStore) -> None:
    store.create_table(TABLE)
    kept = [item(b"h", b"never"), item(b"h", b"later", b"v", 2**40)]
    store.put(TABLE, [*kept, item(b"h", b"now", b"v", 1), item(b"h", b"large", b"x" * 9_000, 1)])
    store.tidy()
    assert store.query_many(TABLE, [b"h"]) == {b"h": sorted(kept)}


def test_tidy_gets_on_while_a_reader_is_inside(store: SqliteStore) -> None:
    store.create_table(TABLE)
    store.put(TABLE, [item(b"h", b"%02d" % n, b"x" * 300_000) for n in range(6)])
    pages = store.query(TABLE, b"h")
    next(pages)
    store.tidy()
    assert sum(len(page) for page in pages) == 3


def set_page_limit(path: Path, store: SqliteStore, pages: int) -> None:
    """Let the store's next connections to a file refuse to grow it, as a full disk does."""
    file = store._files[path]
    store._pool.close(file)
    connect = file._connect

    def limited() -> sqlite3.Connection:
        connection = connect()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    file._connect = limited  # type: ignore[method-assign]


def test_a_full_disk_is_storage_full_keeps_what_was_there_and_recovers(store: SqliteStore, tmp_path: Path) -> None:
    path = tmp_path / "data/blocks/0-86400.sqlite"
    store.create_table(TABLE)
    store.put(TABLE, [item(b"h", b"old", b"x" * 50_000)])
    set_page_limit(path, store, 20)
    large = [item(b"h", b"new%d" % n, b"y" * 50_000) for n in range(6)]
    for _ in range(2):
        with pytest.raises(StorageFull, match="no room"):
            store.change({TABLE: large}, {TABLE: [(b"h", b"old")]})
    assert [one.range for one in store.query_many(TABLE, [b"h"])[b"h"]] == [b"old"]
    store.tidy()
    set_page_limit(path, store, 1_000_000)
    store.change({TABLE: large}, {TABLE: [(b"h", b"old")]})
    assert store.query_many(TABLE, [b"h"])[b"h"] == large


LIMITED = """
import resource, sys
from amondawa.errors import StorageFull
from amondawa.store.base import Item
from amondawa.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
store.open()
store.create_table("datapoints_b")
store.put("datapoints_b", [Item(b"h", b"r", b"old")])
store.journal_append(1, 1, b"first")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
refused = 0
for write in (
    lambda: store.put("datapoints_b", [Item(b"h", b"r%d" % n, b"x" * 300_000) for n in range(3)]),
    lambda: store.journal_append(1, 2, b"x" * 500_000),
    lambda: store.journal_append(2, 1, b"x" * 500_000),
):
    try:
        write()
    except StorageFull:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert list(store.journal_read(1)) == [b"first"], "an entry that was refused is there"
store.put("datapoints_b", [Item(b"h", b"s", b"x" * 300_000)])
store.journal_append(1, 2, b"second" * 100_000)
assert [i.range for i in store.query_many("datapoints_b", [b"h"])[b"h"]] == [b"r", b"s"]
assert len(list(store.journal_read(1))) == 2
store.close()
store.open()
print(refused, store.journal_segments())
store.close()
"""


def test_a_refused_write_is_storage_full_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["3", "[1]"]


# damage and other processes -------------------------------------------------------------------------------------------


def test_a_directory_in_use_is_refused_and_free_after_close(store: SqliteStore, tmp_path: Path) -> None:
    second = SqliteStore(tmp_path / "data")
    with pytest.raises(ConfigError, match="in use"):
        second.open()
    with pytest.raises(ConfigError, match="open already"):
        store.open()
    store.close()
    second.open()
    second.close()


def test_a_directory_used_by_another_process_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    code = "import sys; from amondawa.store.sqlite import SqliteStore; SqliteStore(sys.argv[1]).open()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=False, timeout=60
    )
    assert "ConfigError" in done.stderr
    assert "in use by another process" in done.stderr


def test_a_directory_that_cannot_be_made_is_a_setting_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        SqliteStore(tmp_path / "file" / "data").open()


@pytest.mark.parametrize("name", ["", "meta.sqlite", "blocks", "journal"])
def test_a_directory_with_something_that_may_not_be_written_is_a_setting_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made = SqliteStore(tmp_path / "data")
    made.open()
    made.close()
    (tmp_path / "data" / "journal").mkdir(exist_ok=True)
    guarded = tmp_path / "data" / name
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != guarded)  # the superuser may write anything
    with pytest.raises(ConfigError, match=f"cannot be used: .*Permission denied: '{guarded}'"):
        made.open()
    monkeypatch.undo()
    made.open()
    made.close()


@pytest.mark.parametrize("name", ["meta.sqlite", "blocks/0-86400.sqlite", "journal/1.sqlite"])
def test_a_damaged_file_is_corrupt_and_the_directory_free_again(store: SqliteStore, tmp_path: Path, name: str) -> None:
    store.create_table(TABLE)
    store.journal_append(1, 1, b"entry")
    store.close()
    (tmp_path / "data" / name).write_bytes(b"no database at all" * 1_000)
    for _ in range(2):
        with pytest.raises(Corrupt, match="damaged"):
            store.open()


def test_a_damaged_page_is_corrupt(store: SqliteStore, tmp_path: Path) -> None:
    store.create_table(TABLE)
    store.put(TABLE, [item(b"h%d" % n, b"r", b"x" * 3_000) for n in range(200)])
    store.close()
    path = tmp_path / "data/blocks/0-86400.sqlite"
    held = bytearray(path.read_bytes())
    held[16 * 8_192 :] = b"\xff" * (len(held) - 16 * 8_192)
    path.write_bytes(held)
    store.open()
    with pytest.raises(Corrupt, match="0-86400.sqlite is damaged"):
        store.get(TABLE, [(b"h%d" % n, b"r") for n in range(200)])


def test_a_lock_held_for_a_moment_from_outside_is_waited_for(store: SqliteStore, tmp_path: Path) -> None:
    store.create_table(TABLE)
    other = sqlite3.connect(tmp_path / "data/blocks/0-86400.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    release.start()
    store.put(TABLE, [item(b"h", b"r")])
    release.join()
    other.close()
    assert store.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r")]


# threads --------------------------------------------------------------------------------------------------------------


def test_connections_are_few_whatever_the_number_of_threads_and_files(store: SqliteStore) -> None:
    tables = [f"datapoints_{n}" for n in range(30)]
    for table in tables:
        store.create_table(table)

    def use(number: int) -> None:
        for table in tables:
            store.put(table, [item(b"h", b"%d" % number, b"x" * 500)])
            assert store.get(table, [(b"h", b"%d" % number)]) != [None]

    run_all([lambda n=n: use(n) for n in range(6)])  # type: ignore[misc]
    assert len(store._pool._idle) <= 16


def test_a_reader_never_sees_half_a_change(store: SqliteStore) -> None:
    store.create_table(TABLE)
    store.create_table(INDEX)
    sizes = (100, 2_900, 9_000)

    def versions(n: int) -> dict[str, list[Item]]:
        value = bytes((n,)) * sizes[n % 3]
        return {TABLE: [item(b"h", b"a", value), item(b"g", b"b", value)]}

    store.change(versions(1), {})
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = store.query_many(TABLE, [b"h", b"g"])
            assert found[b"h"][0].value == found[b"g"][0].value

    def write() -> None:
        for n in range(150):
            store.change(versions(n), {})
        done.set()

    run_all([write, read, read])


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.create_table(TABLE)
    file = store._files[store._path_of(TABLE)]
    store.close()
    with pytest.raises(StoreError, match="closed"), file.read():
        pass
