"""Stores by name."""

from __future__ import annotations

import importlib
from typing import cast

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
    target = STORES.get(settings.store)
    if target is None:
        raise ConfigError(f"store {settings.store!r} is unknown; choose one of {', '.join(sorted(STORES))}")
    module, _, name = target.partition(":")
    try:
        maker = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(f"store {settings.store!r} cannot be used here: {error}") from error
    store = cast(BlockStore, maker.of_settings(settings))
    store.open()
    return store
