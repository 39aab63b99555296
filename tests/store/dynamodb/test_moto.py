"""The contract on moto, which accepts more than AWS does: see the strict fake for what it lets pass."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models.dynamo_type import LimitedSizeDict

from amondawa.store.base import BlockStore
from amondawa.store.dynamodb.store import DynamoStore, Options
from tests.store.contract import StoreContract


class TestDynamoStoreOnMoto(StoreContract):
    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockStore]:
        monkeypatch.delattr(
            LimitedSizeDict, "__setitem__"
        )  # moto refuses items from 405,000 bytes on, AWS from 409,600
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        with mock_aws():
            options = Options(statements=False)  # moto's PartiQL knows no IN
            store = DynamoStore(lambda: boto3.client("dynamodb", region_name="us-west-2"), "amdw", "one", options)
            store.open()
            yield store
            store.close()
