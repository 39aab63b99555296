"""The store contract on DynamoDB Local."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.client import client_maker
from amondawa.store.dynamodb.store import DynamoStore
from compat_tests.dynamodb_local import CREDENTIALS
from tests.store.contract import StoreContract

pytestmark = [pytest.mark.dynamodb, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
spaces = count()


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoStore]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    store = DynamoStore(client_maker("us-west-2", endpoint, 40), f"contract{next(spaces)}", "one")
    store.open()
    yield store
    for table in store.tables():
        store.delete_table(table)
    store.close()


class TestDynamoStoreOnDynamoDBLocal(StoreContract):
    @pytest.fixture
    def store(self, store: DynamoStore) -> BlockStore:
        return store
