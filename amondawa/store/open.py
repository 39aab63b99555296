"""Stores by name."""

from __future__ import annotations

import importlib
from typing import Any, cast

from amondawa.errors import ConfigError
from amondawa.settings import Settings
from amondawa.store.base import BlockStore

STORES = {
    "sqlite": "amondawa.store.sqlite:SqliteStore",
    "memory": "amondawa.store.memory:MemoryStore",
    "dynamodb": "amondawa.store.dynamodb.store:DynamoStore",
}
"""name -> "module:class"; a module is imported when it is chosen, its class has a class method `of_settings`"""


def open_store(settings: Settings) -> BlockStore:
    """Build the store that the settings name and open it.

    Raises:
        ConfigError: no such store, its module cannot be imported, or it cannot be opened.
    """
    store = cast(BlockStore, _store_class(settings).of_settings(settings))
    store.open()
    return store


def open_tables(settings: Settings) -> BlockStore:
    """Open the tables that belong to no block, beside a gateway that may be running on the same store.

    Raises:
        ConfigError: see `open_store`; also for a store that no other process can see.
    """
    if settings.store == "memory":
        raise ConfigError("the store `memory` lives in the gateway's process: it has no tables to open from outside")
    maker = _store_class(settings)
    store = cast(BlockStore, getattr(maker, "tables_of_settings", maker.of_settings)(settings))
    store.open()
    return store


def _store_class(settings: Settings) -> Any:
    """Return the class of the store that the settings name."""
    target = STORES.get(settings.store)
    if target is None:
        raise ConfigError(f"store {settings.store!r} is unknown; choose one of {', '.join(sorted(STORES))}")
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(f"store {settings.store!r} cannot be used here: {error}") from error
