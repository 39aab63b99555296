"""The stored configuration: the dictionary of `config/configuration.py`, checked key by key and kept in the config table.

Keys and units are those of Amondawa's first version, so that a file written for it means the same here.
"""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from amondawa.errors import ConfigError, Corrupt, NotFound
from amondawa.settings import RANGES, Settings, read_settings
from amondawa.store.base import BlockStore, Item
from amondawa.store.open import open_tables
from amondawa.store.rollup_rules import RollupRules

TABLE = "config"
_HASH = b"configuration"
_MASTER = "master"
_HEIGHT = (b"plan", b"store_column_height")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one key of the configuration means.

    Attributes:
        field: the setting that it stands for.
        unit: of the key's value, for messages.
        many, few: the setting's value is the key's value * many / few.
        whole: only whole numbers are taken.
    """

    field: str
    unit: str = ""
    many: int = 1
    few: int = 1
    whole: bool = True


ENTRIES: Mapping[str, Entry] = {
    "store_column_height": Entry("store_column_height_s", "milliseconds", few=1_000),
    "store_history": Entry("store_history_s", "milliseconds", few=1_000),
    "store_history_blocks": Entry("store_history_blocks"),
    "mt_readers": Entry("mt_readers"),
    "mt_writers": Entry("mt_writers"),
    "mt_write_delay": Entry("write_delay_ms", "seconds", many=1_000, whole=False),
    "cache_datapoints": Entry("cache_datapoints_rows"),
    "cache_query_index_key": Entry("cache_query_index_key"),
    "cache_write_index_key": Entry("cache_write_index_key"),
    "tp_write_datapoints": Entry("tp_write_datapoints"),
    "tp_read_datapoints": Entry("tp_read_datapoints"),
    "tp_write_index_key": Entry("tp_write_index_key"),
    "tp_read_index_key": Entry("tp_read_index_key"),
    "mx_create_next_min": Entry("mx_create_next_min", "minutes"),
    "mx_create_next_pct": Entry("mx_create_next_pct", "percent", whole=False),
    "mx_turndown_min": Entry("mx_turndown_min", "minutes"),
    "mx_turndown_pct": Entry("mx_turndown_pct", "percent", whole=False),
}
"""Keys that are numbers; `retention` is a dictionary of numbers besides, `rollup` one of texts."""
RETENTION = "retention"
ROLLUP = "rollup"
_DICTIONARIES = (RETENTION, ROLLUP)
_LONG = 10**18
"""Numbers of this size are not shown; Python refuses to write those of thousands of digits."""
_PAIRS = (("tp_write_datapoints", "tp_read_datapoints"), ("tp_write_index_key", "tp_read_index_key"))


def load_file(path: Path) -> dict[str, object]:
    """Run a configuration file (Python) and return the dictionary that it calls `configuration`, checked.

    Raises:
        ConfigError: it cannot be read, does not run or is not right; the text names the key.
    """
    try:
        found = runpy.run_path(str(path))
    except Exception as error:  # noqa: BLE001 - it is the user's code: whatever it raises is told as one line
        raise ConfigError(f"error reading configuration from {path}: {type(error).__name__}: {error}") from error
    if "configuration" not in found:
        raise ConfigError(f"error reading configuration from {path}: it defines no `configuration`")
    settings_values(found["configuration"])
    configuration: dict[str, object] = dict(found["configuration"])
    return configuration


def settings_values(configuration: object) -> dict[str, object]:
    """Return the settings, by field name, that a configuration stands for.

    Raises:
        ConfigError: not a dictionary, an unknown key, or a value of the wrong kind or out of range; names the key.
    """
    if not isinstance(configuration, Mapping):
        raise ConfigError(f"the configuration must be a dictionary, not {type(configuration).__name__}")
    unknown = [repr(key) for key in configuration if key not in ENTRIES and key not in _DICTIONARIES]
    if unknown:
        raise ConfigError(f"unknown configuration key {', '.join(unknown)}")
    numbers = {key: value for key, value in configuration.items() if key not in _DICTIONARIES}
    values = {ENTRIES[key].field: _number(key, value) for key, value in numbers.items()}
    for write, read in _PAIRS:
        if bool(configuration.get(write, 0)) != bool(configuration.get(read, 0)):
            raise ConfigError(f"{write} and {read} must both be given or both be 0 (on demand)")
    if RETENTION in configuration:
        values["retention"] = _retention_text(configuration[RETENTION])
    if ROLLUP in configuration:
        values["rollup"] = _rollup_text(configuration[ROLLUP])
    return values


def _number(key: str, value: object) -> object:
    """Return a key's value as its setting wants it."""
    entry = ENTRIES[key]
    kinds = (int,) if entry.whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or _is_no_number(value):
        kind = "a whole number" if entry.whole else "a number"
        raise ConfigError(f"{key} must be {kind}{entry.unit and ' of ' + entry.unit}, not {value!r}")
    low, high = (limit * entry.few / entry.many for limit in RANGES[entry.field])
    if not low <= value <= high:
        shown = value if abs(value) < _LONG else "one that large"
        raise ConfigError(f"{key} must be from {low:.15g} to {high:.15g}{entry.unit and ' ' + entry.unit}, not {shown}")
    if entry.few > 1 and value % entry.few:
        raise ConfigError(f"{key} must be whole seconds, in milliseconds, not {value}")
    scaled = value * entry.many / entry.few
    return round(scaled) if isinstance(getattr(Settings(), entry.field), int) else float(scaled)


def _is_no_number(value: int | float) -> bool:
    """Say whether a value is NaN or infinite; a whole number is neither, however large it is."""
    return isinstance(value, float) and not math.isfinite(value)


def _retention_text(value: object) -> str:
    """Return the dictionary pattern -> seconds as the text of the setting, in its order."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{RETENTION} must be a dictionary of metric patterns and seconds, not {value!r}")
    for pattern, seconds in value.items():
        if not isinstance(pattern, str) or not pattern or set(pattern) & {",", "="}:
            raise ConfigError(f"{RETENTION}: a metric pattern must be a text without ',' and '=', not {pattern!r}")
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 2**40:
            raise ConfigError(f"{RETENTION}[{pattern!r}] must be a whole number of seconds, not {seconds!r}")
    return ",".join(f"{pattern}={seconds}" for pattern, seconds in value.items())


def _rollup_text(value: object) -> str:
    """Return the dictionary pattern -> `AGE:INTERVAL` (with `:drop-raw` or without) as the text of the setting."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{ROLLUP} must be a dictionary of metric patterns and rules such as '30d:1m', not {value!r}")
    for pattern, rule in value.items():
        if not isinstance(pattern, str) or not pattern or set(pattern) & {",", "="}:
            raise ConfigError(f"{ROLLUP}: a metric pattern must be a text without ',' and '=', not {pattern!r}")
        try:
            RollupRules.parse(f"{pattern}={rule}")
        except ConfigError as error:
            raise ConfigError(f"{ROLLUP}[{pattern!r}]: {error}") from error
    return ",".join(f"{pattern}={rule}" for pattern, rule in value.items())


# the table ------------------------------------------------------------------------------------------------------------


def write_configuration(store: BlockStore, configuration: Mapping[str, object]) -> None:
    """Put a configuration in the place of the stored one; keys that it lacks are at their defaults from then on.

    Raises:
        ConfigError: see `settings_values`; also a row width other than the one that the data in the store have.
    """
    values = settings_values(configuration)
    if "store_column_height_s" in values:
        _check_height(store, values["store_column_height_s"])
    store.create_table(TABLE)
    items = [Item(_HASH, key.encode(), json.dumps(value).encode()) for key, value in configuration.items()]
    written = {item.range for item in items}
    gone = [(item.hash, item.range) for item in _items(store) if item.range not in written]
    store.change({TABLE: items}, {TABLE: gone} if gone else {})


def _check_height(store: BlockStore, height_s: object) -> None:
    try:
        kept = store.get(_MASTER, [_HEIGHT])[0]
    except NotFound:
        return
    if kept is not None and int(kept.value) != height_s:
        raise ConfigError(
            f"store_column_height cannot be changed: the data in this store have rows of "
            f"{int(kept.value) * 1_000} milliseconds"
        )


def read_configuration(store: BlockStore) -> dict[str, object]:
    """Return the stored configuration; empty when nothing was configured. Raises Corrupt."""
    try:
        return {item.range.decode(): json.loads(item.value) for item in _items(store)}
    except NotFound:
        return {}
    except ValueError as error:
        raise Corrupt(f"the table {TABLE} holds something that is no configuration") from error


def _items(store: BlockStore) -> Iterator[Item]:
    for page in store.query(TABLE, _HASH):
        yield from page


def configured_settings(options: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Return the settings in force: an option wins over its variable, a variable over the stored configuration.

    Raises:
        ConfigError: a value is wrong, or the store cannot be opened.
    """
    settings = read_settings(options, environment)
    if settings.store == "memory" or (settings.store == "sqlite" and not Path(settings.data).is_dir()):
        return settings
    store = open_tables(settings)
    try:
        stored = read_configuration(store)
    finally:
        store.close()
    return read_settings(options, environment, settings_values(stored))
