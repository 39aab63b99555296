"""What every engine must do. An engine's test module subclasses `StoreContract` and adds a fixture `store`."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from amondawa.errors import NotFound
from amondawa.store.base import HASH_BYTES, ITEM_BYTES, PAGE_BYTES, RANGE_BYTES, BlockStore, Capacity, Item

TABLE = "datapoints_0-86400"
INDEX = "index_0-86400"
META = "metadata"


def item(hash_key: bytes, range_key: bytes, value: bytes = b"v", expires_s: int = 0) -> Item:
    return Item(hash_key, range_key, value, expires_s)


def ranges(store: BlockStore, hash_key: bytes, **bounds: object) -> list[bytes]:
    pages = store.query(TABLE, hash_key, **bounds)  # type: ignore[arg-type]
    return [found.range for page in pages for found in page]


class StoreContract:
    @pytest.fixture
    def tables(self, store: BlockStore) -> BlockStore:
        for table in (TABLE, INDEX, META):
            store.create_table(table)
        return store

    # limits -----------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "wrong",
        [
            item(b"", b"r"),
            item(b"h", b""),
            item(b"h" * (HASH_BYTES + 1), b"r"),
            item(b"h", b"r" * (RANGE_BYTES + 1)),
            item(b"h", b"r", b"v" * ITEM_BYTES),
        ],
        ids=["empty hash", "empty range", "long hash", "long range", "large item"],
    )
    def test_an_item_past_a_limit_is_refused_and_nothing_of_its_call_is_written(
        self, tables: BlockStore, wrong: Item
    ) -> None:
        with pytest.raises(ValueError, match="bytes"):
            tables.put(TABLE, [item(b"good", b"r"), wrong])
        with pytest.raises(ValueError, match="bytes"):
            tables.put_if(TABLE, wrong, None)
        assert tables.get(TABLE, [(b"good", b"r")]) == [None]

    @pytest.mark.parametrize("key", [(b"", b"r"), (b"h", b""), (b"h" * (HASH_BYTES + 1), b"r")])
    def test_a_key_past_a_limit_is_refused(self, tables: BlockStore, key: tuple[bytes, bytes]) -> None:
        with pytest.raises(ValueError, match="key"):
            tables.get(TABLE, [key])
        with pytest.raises(ValueError, match="key"):
            tables.delete(TABLE, [key])

    def test_the_largest_item_and_keys_come_back(self, tables: BlockStore) -> None:
        hash_key, range_key = b"\xff" * HASH_BYTES, b"\x00" * RANGE_BYTES
        largest = item(hash_key, range_key, b"x" * (ITEM_BYTES - HASH_BYTES - RANGE_BYTES - 16))
        tables.put(TABLE, [largest])
        assert tables.get(TABLE, [(hash_key, range_key)]) == [largest]

    @pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "a\0b", "é", "a" * 300])
    def test_a_table_name_that_an_engine_could_not_keep_is_refused(self, store: BlockStore, name: str) -> None:
        with pytest.raises(ValueError, match="table name"):
            store.create_table(name)

    # tables -----------------------------------------------------------------------------------------------------------

    def test_a_missing_table_is_not_found(self, store: BlockStore) -> None:
        uses: list[Callable[[], object]] = [
            lambda: store.put("none", [item(b"h", b"r")]),
            lambda: store.delete("none", [(b"h", b"r")]),
            lambda: store.get("none", [(b"h", b"r")]),
            lambda: list(store.query("none", b"h")),
            lambda: store.query_many("none", [b"h"]),
            lambda: store.put_if("none", item(b"h", b"r"), None),
            lambda: store.set_capacity("none", Capacity(1, 1)),
        ]
        for use in uses:
            with pytest.raises(NotFound, match="none"):
                use()

    def test_tables_are_listed_sorted_and_created_once(self, tables: BlockStore) -> None:
        tables.put(TABLE, [item(b"h", b"r")])
        tables.create_table(TABLE)
        assert [name for name in tables.tables() if name in (TABLE, INDEX, META)] == [TABLE, INDEX, META]
        assert tables.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r")]

    def test_a_deleted_table_takes_its_items_and_leaves_the_others(self, tables: BlockStore) -> None:
        for table in (TABLE, INDEX, META):
            tables.put(table, [item(b"h", b"r", b"x" * 5_000)])
        tables.delete_table(TABLE)
        tables.delete_table(TABLE)
        assert TABLE not in tables.tables()
        assert tables.get(INDEX, [(b"h", b"r")]) != [None]
        tables.delete_table(INDEX)
        tables.create_table(TABLE)
        assert tables.get(TABLE, [(b"h", b"r")]) == [None]
        assert tables.get(META, [(b"h", b"r")]) != [None]

    def test_capacity_may_be_changed(self, tables: BlockStore) -> None:
        tables.set_capacity(TABLE, Capacity(5, 5))
        tables.put(TABLE, [item(b"h", b"r")])
        assert tables.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r")]

    # items ------------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 200, 201, 2_800, 8_151, 8_152, 20_000, 300_000])
    def test_a_value_of_any_size_comes_back(self, tables: BlockStore, size: int) -> None:
        value = bytes(n * 7 & 255 for n in range(size))
        tables.put(TABLE, [item(b"h", b"a"), item(b"h", b"r", value), item(b"h", b"z")])
        assert tables.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r", value)]
        assert tables.query_many(TABLE, [b"h"])[b"h"][1].value == value
        down = [found for page in tables.query(TABLE, b"h", descending=True) for found in page]
        assert [found.value for found in down] == [b"v", value, b"v"]

    def test_an_expiry_time_is_kept(self, tables: BlockStore) -> None:
        kept = item(b"h", b"r", b"v", 4_000_000_000)
        tables.put(TABLE, [kept])
        assert tables.get(TABLE, [(b"h", b"r")]) == [kept]

    def test_a_put_replaces_and_the_last_of_a_call_wins(self, tables: BlockStore) -> None:
        tables.put(TABLE, [item(b"h", b"r", b"1" * 4_000), item(b"h", b"r", b"2" * 3_000)])
        assert tables.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r", b"2" * 3_000)]
        tables.put(TABLE, [item(b"h", b"r", b"3")])
        assert tables.get(TABLE, [(b"h", b"r")]) == [item(b"h", b"r", b"3")]

    def test_more_items_than_a_batch_are_written_read_and_deleted(self, tables: BlockStore) -> None:
        many = [item(b"h%d" % (n % 7), b"%03d" % n, b"v%d" % n) for n in range(230)]
        tables.put(TABLE, many)
        keys = [(one.hash, one.range) for one in many]
        assert tables.get(TABLE, [*keys, (b"h0", b"none")]) == [*many, None]
        tables.delete(TABLE, keys[:200])
        assert tables.get(TABLE, keys) == [None] * 200 + many[200:]

    def test_get_answers_in_order_of_the_keys_also_when_one_is_asked_twice(self, tables: BlockStore) -> None:
        tables.put(TABLE, [item(b"a", b"1"), item(b"b", b"2")])
        found = tables.get(TABLE, [(b"b", b"2"), (b"x", b"1"), (b"a", b"1"), (b"b", b"2")])
        assert found == [item(b"b", b"2"), None, item(b"a", b"1"), item(b"b", b"2")]

    def test_deleting_what_is_absent_is_no_error(self, tables: BlockStore) -> None:
        tables.delete(TABLE, [(b"h", b"r"), (b"h", b"r")])

    def test_nothing_asked_is_nothing_done(self, tables: BlockStore) -> None:
        tables.put(TABLE, [])
        tables.delete(TABLE, [])
        tables.change({}, {})
        assert tables.get(TABLE, []) == []
        assert tables.query_many(TABLE, []) == {}

    # queries ----------------------------------------------------------------------------------------------------------

    def test_a_query_is_ordered_by_bytes_and_half_open(self, tables: BlockStore) -> None:
        keys = [b"\x00", b"\x00\x00", b"\x01", b"a", b"b", b"b\x00", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]
        tables.put(TABLE, [item(b"h", key) for key in keys] + [item(b"h\x00", b"other"), item(b"g", b"other")])
        assert ranges(tables, b"h") == sorted(keys)
        assert ranges(tables, b"h", descending=True) == sorted(keys, reverse=True)
        assert ranges(tables, b"h", start=b"b") == [key for key in sorted(keys) if key >= b"b"]
        assert ranges(tables, b"h", end=b"b") == [key for key in sorted(keys) if key < b"b"]
        assert ranges(tables, b"h", start=b"a", end=b"b\x00", descending=True) == [b"b", b"a"]
        assert ranges(tables, b"h", start=b"b", end=b"a") == []
        assert ranges(tables, b"none") == []

    def test_pages_hold_a_megabyte_at_most_and_none_is_empty(self, tables: BlockStore) -> None:
        many = [item(b"h", b"%02d" % n, b"x" * 300_000) for n in range(8)]
        tables.put(TABLE, many)
        for descending in (False, True):
            pages = list(tables.query(TABLE, b"h", descending=descending))
            assert len(pages) > 2
            assert all(0 < sum(len(found.value) for found in page) <= PAGE_BYTES for page in pages)
            flat = [found for page in pages for found in page]
            assert flat == (many[::-1] if descending else many)

    def test_many_hash_keys_are_read_at_once_and_empty_ones_left_out(self, tables: BlockStore) -> None:
        tables.put(TABLE, [item(b"h%d" % n, bytes((r,))) for n in range(60) for r in (1, 2, 3)])
        found = tables.query_many(TABLE, [b"h%d" % n for n in range(70)], b"\x02", b"\x03")
        assert found == {b"h%d" % n: [item(b"h%d" % n, b"\x02")] for n in range(60)}

    def test_a_page_can_be_followed_by_a_write_to_the_same_table(self, tables: BlockStore) -> None:
        tables.put(TABLE, [item(b"h", b"%02d" % n, b"x" * 300_000) for n in range(6)])
        for page in tables.query(TABLE, b"h"):
            tables.delete(TABLE, [(found.hash, found.range) for found in page])
        assert ranges(tables, b"h") == []

    # changes ----------------------------------------------------------------------------------------------------------

    def test_a_change_puts_first_and_deletes_after(self, tables: BlockStore) -> None:
        tables.put(TABLE, [item(b"h", b"old")])
        tables.change(
            {TABLE: [item(b"h", b"new"), item(b"h", b"gone")], INDEX: [item(b"i", b"new")], META: [item(b"m", b"new")]},
            {TABLE: [(b"h", b"old"), (b"h", b"gone")], META: [(b"m", b"none")]},
        )
        assert ranges(tables, b"h") == [b"new"]
        assert tables.get(INDEX, [(b"i", b"new")]) == [item(b"i", b"new")]
        assert tables.get(META, [(b"m", b"new")]) == [item(b"m", b"new")]

    def test_a_change_that_names_a_missing_table_does_nothing(self, tables: BlockStore) -> None:
        with pytest.raises(NotFound):
            tables.change({TABLE: [item(b"h", b"r")]}, {"none": [(b"h", b"r")]})
        assert tables.get(TABLE, [(b"h", b"r")]) == [None]

    def test_a_conditional_put_compares_the_stored_value(self, tables: BlockStore) -> None:
        assert tables.put_if(TABLE, item(b"h", b"r", b"1"), None)
        assert not tables.put_if(TABLE, item(b"h", b"r", b"2"), None)
        assert not tables.put_if(TABLE, item(b"h", b"r", b"2"), b"0")
        assert tables.put_if(TABLE, item(b"h", b"r", b"2"), b"1")
        assert not tables.put_if(TABLE, item(b"h", b"none", b"2"), b"1")
        assert tables.get(TABLE, [(b"h", b"r"), (b"h", b"none")]) == [item(b"h", b"r", b"2"), None]

    def test_of_racing_conditional_puts_one_wins(self, tables: BlockStore) -> None:
        wins: list[int] = []

        def race(number: int) -> None:
            if tables.put_if(TABLE, item(b"lease", b"r", b"%d" % number), None):
                wins.append(number)

        run_all([lambda n=n: race(n) for n in range(8)])  # type: ignore[misc]
        assert len(wins) == 1
        assert tables.get(TABLE, [(b"lease", b"r")]) == [item(b"lease", b"r", b"%d" % wins[0])]

    def test_many_threads_may_write_and_read(self, tables: BlockStore) -> None:
        def work(number: int) -> None:
            hash_key = b"t%d" % number
            for n in range(12):
                tables.put(TABLE, [item(hash_key, b"%02d" % n, b"x" * 3_000)])
                assert len(ranges(tables, hash_key)) == n + 1

        run_all([lambda n=n: work(n) for n in range(6)])  # type: ignore[misc]

    def test_units_are_counted_from_zero(self, tables: BlockStore) -> None:
        used = tables.consumed()
        assert used.read_units >= 0
        assert used.write_units >= 0
        tables.tidy()

    # journal ----------------------------------------------------------------------------------------------------------

    def test_segments_are_read_in_order_of_sequence(self, store: BlockStore) -> None:
        for sequence in (1, 2, 10):
            store.journal_append(7, sequence, b"%d" % sequence)
        store.journal_append(3, 1, b"")
        assert store.journal_segments() == [3, 7]
        assert list(store.journal_read(7)) == [b"1", b"2", b"10"]
        assert list(store.journal_read(3)) == [b""]
        assert list(store.journal_read(99)) == []

    def test_an_entry_of_any_size_comes_back(self, store: BlockStore) -> None:
        large = bytes(range(256)) * 8_192
        store.journal_append(1, 1, large)
        store.journal_append(1, 2, b"after")
        assert list(store.journal_read(1)) == [large, b"after"]

    def test_an_append_made_again_is_one_entry(self, store: BlockStore) -> None:
        store.journal_append(1, 1, b"entry")
        store.journal_append(1, 1, b"entry")
        assert list(store.journal_read(1)) == [b"entry"]

    def test_a_dropped_segment_is_gone_and_the_others_stay(self, store: BlockStore) -> None:
        store.journal_append(1, 1, b"a")
        store.journal_append(2, 1, b"b")
        store.journal_drop(1)
        store.journal_drop(1)
        assert store.journal_segments() == [2]
        assert list(store.journal_read(1)) == []

    def test_entries_may_be_read_while_others_are_appended(self, store: BlockStore) -> None:
        store.journal_append(1, 1, b"a")
        entries = store.journal_read(1)
        assert next(entries) == b"a"
        store.journal_append(2, 1, b"b")
        assert list(entries) == []


def run_all(tasks: list[Callable[[], None]]) -> None:
    """Run tasks in threads at once; raise what any of them raised."""
    errors: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
