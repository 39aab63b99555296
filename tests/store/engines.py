"""Stores by name, for tests of what stands on any engine."""

from __future__ import annotations

from pathlib import Path

from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.retry import RetryPolicy
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.memory import MemoryStore
from amondawa.store.sqlite import SqliteStore
from tests.store.strict_fake import StrictFake

ENGINES = ("memory", "sqlite", "dynamodb")
QUICK = RetryPolicy(base_s=0.0001, cap_s=0.001, deadline_s=60.0, budget=1e9)


def open_engine(name: str, directory: Path) -> BlockStore:
    """Return an open, empty store."""
    store: BlockStore
    if name == "memory":
        store = MemoryStore()
    elif name == "sqlite":
        store = SqliteStore(directory / "data")
    else:
        store = DynamoStore(StrictFake().client, "amdw", "one", Options(4, 4, QUICK))
    store.open()
    return store
