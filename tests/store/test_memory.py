from __future__ import annotations

from collections.abc import Iterator

import pytest

from amondawa.store.base import BlockStore
from amondawa.store.memory import MemoryStore
from tests.store.contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[BlockStore]:
        store = MemoryStore()
        store.open()
        yield store
        store.close()
