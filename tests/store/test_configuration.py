"""The stored configuration: keys, kinds, units, and which value wins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from amondawa.errors import ConfigError, Corrupt
from amondawa.index.blocks import OpenBlocks
from amondawa.settings import Settings
from amondawa.store.base import BlockStore, Item
from amondawa.store.blocks import BlockPlan
from amondawa.store.configuration import (
    ENTRIES,
    RETENTION,
    TABLE,
    configured_settings,
    load_file,
    read_configuration,
    settings_values,
    write_configuration,
)
from amondawa.store.sqlite import SqliteStore
from tests.store.engines import ENGINES, open_engine

ROOT = Path(__file__).parent.parent.parent
MINUTE = 60 * 1_000
HOUR = 60 * MINUTE
FIRST_VERSION = {
    "store_column_height": 5 * MINUTE,
    "store_history": 1 * HOUR,
    "store_history_blocks": 3,
    "mt_readers": 20,
    "mt_writers": 5,
    "mt_write_delay": 2,
    "cache_datapoints": 400,
    "cache_query_index_key": 400,
    "cache_write_index_key": 400,
    "tp_write_datapoints": 160,
    "tp_read_datapoints": 80,
    "tp_write_index_key": 160,
    "tp_read_index_key": 80,
    "mx_create_next_min": 4,
    "mx_create_next_pct": 15,
    "mx_turndown_min": 2,
    "mx_turndown_pct": 20,
}
"""The values that the first version came with."""


def _short(value: object) -> str:
    return "huge" if isinstance(value, int) and value > 2**70 else repr(value)


@pytest.mark.parametrize("wrong", [None, [], "x", 7, [("mt_readers", 5)]])
def test_what_is_no_dictionary_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="must be a dictionary"):
        settings_values(wrong)


@pytest.mark.parametrize("key", ["mt_reader", "MT_READERS", "", 7, None])
def test_an_unknown_key_is_refused_by_name(key: object) -> None:
    with pytest.raises(ConfigError, match=f"unknown configuration key {key!r}"):
        settings_values({"mt_readers": 5, key: 5})


@pytest.mark.parametrize("key", ENTRIES)
@pytest.mark.parametrize(
    "value", ["5", None, True, [5], float("nan"), float("inf"), -1, 2**70, 10**5_000, 1e300], ids=_short
)
def test_a_value_of_the_wrong_kind_or_out_of_range_is_refused_by_the_name_of_its_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{key} must be"):
        settings_values({key: value})


@pytest.mark.parametrize("key", [key for key, entry in ENTRIES.items() if entry.whole])
def test_where_a_whole_number_is_asked_for_a_fraction_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} must be a whole number"):
        settings_values({key: 100_000.5})


@pytest.mark.parametrize("key", ["store_column_height", "store_history"])
def test_heights_and_history_are_whole_seconds_in_milliseconds(key: str) -> None:
    assert settings_values({key: 86_400_000}) == {f"{key}_s": 86_400}
    with pytest.raises(ConfigError, match=f"{key} must be whole seconds"):
        settings_values({key: 86_400_001})


@pytest.mark.parametrize(("seconds", "delay_ms"), [(0, 0), (0.002, 2), (2, 2_000), (0.0015, 2), (10, 10_000)])
def test_the_write_delay_is_in_seconds(seconds: float, delay_ms: int) -> None:
    value = settings_values({"mt_write_delay": seconds})["write_delay_ms"]
    assert value == delay_ms
    assert isinstance(value, int)


def test_every_key_of_the_first_version_works_with_its_values() -> None:
    assert set(FIRST_VERSION) == set(ENTRIES)
    settings = Settings(**settings_values(FIRST_VERSION))  # type: ignore[arg-type]
    assert (settings.store_column_height_s, settings.store_history_s, settings.store_history_blocks) == (300, 3_600, 3)
    assert (settings.mt_readers, settings.mt_writers, settings.write_delay_ms) == (20, 5, 2_000)
    assert settings.cache_datapoints_rows == settings.cache_query_index_key == settings.cache_write_index_key == 400
    assert (settings.tp_write_datapoints, settings.tp_read_datapoints) == (160, 80)
    assert (settings.tp_write_index_key, settings.tp_read_index_key) == (160, 80)
    assert (settings.mx_create_next_min, settings.mx_create_next_pct) == (4, 15.0)
    assert (settings.mx_turndown_min, settings.mx_turndown_pct) == (2, 20.0)


@pytest.mark.parametrize("pair", ["datapoints", "index_key"])
def test_a_table_with_reads_but_no_writes_is_refused(pair: str) -> None:
    with pytest.raises(ConfigError, match=f"tp_write_{pair} and tp_read_{pair} must both be given"):
        settings_values({f"tp_read_{pair}": 10})


@pytest.mark.parametrize(
    "value", [[], "a=5", {"": 5}, {"a,b": 5}, {"a=b": 5}, {5: 5}, {"a": 0}, {"a": "5"}, {"a": True}, {"a": 1.5}]
)
def test_a_wrong_retention_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=RETENTION):
        settings_values({RETENTION: value})


def test_retention_keeps_the_order_of_its_patterns() -> None:
    assert settings_values({RETENTION: {"debug.keep": 600, "debug.*": 60}}) == {
        "retention": "debug.keep=600,debug.*=60"
    }


# files ----------------------------------------------------------------------------------------------------------------


def test_the_file_that_comes_with_amondawa_sets_what_is_the_default_anyway() -> None:
    values = settings_values(load_file(ROOT / "config" / "configuration.py"))
    assert len(values) >= 17
    assert Settings(**values) == Settings()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("configuration = {", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("config = {}", "defines no `configuration`"),
        ("configuration = 5", "must be a dictionary"),
        ("configuration = {'mt_reader': 5}", "'mt_reader'"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "c.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_file(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="error reading configuration from .*none.py"):
        load_file(tmp_path / "none.py")


# the table ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    store = open_engine(request.param, tmp_path)
    request.addfinalizer(store.close)
    return store


def test_a_store_that_was_never_configured_has_no_configuration(store: BlockStore) -> None:
    assert read_configuration(store) == {}


def test_a_configuration_reads_back_as_it_was_written(store: BlockStore) -> None:
    configuration = {**FIRST_VERSION, "mt_write_delay": 0.25, RETENTION: {"b": 60, "a": 5}}
    write_configuration(store, configuration)
    assert read_configuration(store) == configuration
    assert list(read_configuration(store)[RETENTION]) == ["b", "a"]  # type: ignore[call-overload]


def test_a_key_that_the_new_configuration_lacks_is_gone(store: BlockStore) -> None:
    write_configuration(store, FIRST_VERSION)
    write_configuration(store, {"mt_readers": 3})
    assert read_configuration(store) == {"mt_readers": 3}


def test_a_wrong_configuration_leaves_the_stored_one(store: BlockStore) -> None:
    write_configuration(store, {"mt_readers": 3})
    with pytest.raises(ConfigError):
        write_configuration(store, {"mt_writers": 0})
    assert read_configuration(store) == {"mt_readers": 3}


def test_the_row_width_of_data_that_are_there_cannot_be_changed(store: BlockStore) -> None:
    OpenBlocks(store, BlockPlan(300)).load()
    write_configuration(store, {"store_column_height": 300_000})
    with pytest.raises(ConfigError, match="store_column_height cannot be changed: .* 300000 milliseconds"):
        write_configuration(store, {"store_column_height": 600_000})


def test_a_table_that_holds_something_else_is_corrupt(store: BlockStore) -> None:
    store.create_table(TABLE)
    store.put(TABLE, [Item(b"configuration", b"mt_readers", b"{")])
    with pytest.raises(Corrupt):
        read_configuration(store)


# which value wins -----------------------------------------------------------------------------------------------------


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Settings]:
    """Return a function that gives the settings in force over a store that was configured."""
    data = tmp_path / "data"
    store = SqliteStore(data)
    store.open()
    write_configuration(store, {"mt_readers": 3, "mt_writers": 4, "store_history": HOUR})
    store.close()

    def settings(environment: dict[str, str] | None = None, **options: object) -> Settings:
        return configured_settings(options, {"AMDW_DATA": str(data), **(environment or {})})

    return settings


def test_the_stored_configuration_wins_over_the_defaults(configured: Callable[..., Settings]) -> None:
    settings = configured()
    assert (settings.mt_readers, settings.mt_writers, settings.store_history_s) == (3, 4, 3_600)


def test_a_variable_wins_over_the_stored_configuration_and_an_option_over_the_variable(
    configured: Callable[..., Settings],
) -> None:
    assert configured({"AMDW_MT_READERS": "7"}).mt_readers == 7
    assert configured({"AMDW_MT_READERS": "7"}, mt_readers=9).mt_readers == 9


def test_the_configuration_of_a_directory_in_use_can_be_read(
    configured: Callable[..., Settings], tmp_path: Path
) -> None:
    busy = SqliteStore(tmp_path / "data")
    busy.open()
    assert configured().mt_readers == 3
    busy.close()


def test_looking_for_a_configuration_makes_no_directory(tmp_path: Path) -> None:
    assert configured_settings({}, {"AMDW_DATA": str(tmp_path / "none")}) == Settings(data=str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_store_in_memory_has_no_configuration() -> None:
    assert configured_settings({"store": "memory"}, {}) == Settings(store="memory")


def test_rules_of_roll_up_are_a_dictionary_of_patterns():
    values = settings_values({"rollup": {"web.*": "30d:1m", "*": "52w:1h:drop-raw"}})
    assert values == {"rollup": "web.*=30d:1m,*=52w:1h:drop-raw"}


@pytest.mark.parametrize("rules", ["30d:1m", {"a=b": "30d:1m"}, {"a": "30d"}, {"a": 60}, {1: "30d:1m"}, {"": "30d:1m"}])
def test_rules_of_roll_up_that_are_not_right_are_refused_by_name(rules: object):
    with pytest.raises(ConfigError, match="rollup"):
        settings_values({"rollup": rules})
