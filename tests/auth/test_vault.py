"""Documents of domains that keep tags as hashes."""

from __future__ import annotations

import pytest

from amondawa.auth.vault import Document, Vault
from amondawa.errors import Corrupt
from tests.auth.gateways import guarded
from tests.auth.test_rules import set_rules


def test_a_vault_opens_what_it_sealed_and_nothing_that_was_moved_or_changed():
    vault, other = Vault(b"1" * 32), Vault(b"2" * 32)
    document = Document("key", b"value")
    sealed = vault.seal("notes", document)
    assert vault.open("notes", sealed) == document
    assert b"value" not in sealed
    assert vault.name("notes", "key") == vault.name("notes", "key") != vault.name("trees", "key")
    for one, collection, value in ((other, "notes", sealed), (vault, "trees", sealed), (vault, "notes", sealed[:-1])):
        with pytest.raises(Corrupt):
            one.open(collection, value)


async def test_documents_from_before_hashing_are_read_replaced_and_deleted():
    async with guarded() as gateway:
        scope = gateway.process._scope.result()
        assert scope is not None
        door = scope.gateway
        for key in ("a", "b", "c"):
            await door.put_document("shop", "things", key, b"old")
        set_rules(gateway, "shop", hashed_tags=frozenset({"user"}))
        await door.put_document("shop", "things", "a", b"new")
        await door.put_document("shop", "things", "ab", b"new")
        assert await door.get_document("shop", "things", "b") == b"old"
        assert await door.delete_document("shop", "things", "c")
        assert not await door.delete_document("shop", "things", "c")
        assert await door.list_documents("shop", "things", "a") == [("a", b"new"), ("ab", b"new")]
        assert not await door.put_document_if("shop", "things", "b", b"newer", b"other")
        assert await door.put_document_if("shop", "things", "b", b"newer", b"old")
        assert await door.put_document_if("shop", "things", "b", b"newest", b"newer")
        assert not await door.put_document_if("shop", "things", "b", b"x", None)
        assert await door.list_documents("shop", "things", "b") == [("b", b"newest")]
        assert await door.put_document_if("shop", "things", "d", b"x", None)
        stored = await gateway.process._gateway.list_documents("shop", "things")  # type: ignore[union-attr]
        assert all(key.startswith("~") for key, _ in stored)
