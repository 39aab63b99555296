"""The gateway's door with the documents of domains that keep tags as hashes encrypted. Protocols see clear ones."""

from __future__ import annotations

from collections.abc import Callable

from amondawa.auth.vault import Document, Vault, is_sealed
from amondawa.gateway import GatewayDoor
from amondawa.protocols.passing_door import PassingDoor


class SealedDocuments(PassingDoor):
    """A GatewayDoor that encrypts documents; what was stored before a domain had a key is read as it is.

    Args:
        door: does the work.
        vault_of: gives the vault of a domain; None = its documents are kept as they are.
    """

    def __init__(self, door: GatewayDoor, vault_of: Callable[[str], Vault | None]) -> None:
        super().__init__(door)
        self._vault_of = vault_of

    async def put_document(self, domain: str, collection: str, key: str, value: bytes) -> None:
        """See GatewayDoor."""
        vault = self._vault_of(domain)
        if vault is None:
            await self._door.put_document(domain, collection, key, value)
            return
        sealed = vault.seal(collection, Document(key, value))
        await self._door.put_document(domain, collection, vault.name(collection, key), sealed)
        await self._door.delete_document(domain, collection, key)

    async def put_document_if(
        self, domain: str, collection: str, key: str, value: bytes, expected: bytes | None
    ) -> bool:
        """See GatewayDoor."""
        vault = self._vault_of(domain)
        if vault is None:
            return await self._door.put_document_if(domain, collection, key, value, expected)
        name = vault.name(collection, key)
        stored = await self._door.get_document(domain, collection, name)
        if stored is None:
            now = plain = await self._door.get_document(domain, collection, key)
        else:
            now, plain = vault.open(collection, stored).value, None
        if now != expected:
            return False
        sealed = vault.seal(collection, Document(key, value))
        done = await self._door.put_document_if(domain, collection, name, sealed, stored)
        if done and plain is not None:
            await self._door.delete_document(domain, collection, key)
        return done

    async def get_document(self, domain: str, collection: str, key: str) -> bytes | None:
        """See GatewayDoor."""
        vault = self._vault_of(domain)
        if vault is None:
            return await self._door.get_document(domain, collection, key)
        stored = await self._door.get_document(domain, collection, vault.name(collection, key))
        if stored is None:
            return await self._door.get_document(domain, collection, key)
        return vault.open(collection, stored).value

    async def delete_document(self, domain: str, collection: str, key: str) -> bool:
        """See GatewayDoor."""
        vault = self._vault_of(domain)
        there = await self._door.delete_document(domain, collection, key)
        if vault is None:
            return there
        return await self._door.delete_document(domain, collection, vault.name(collection, key)) or there

    async def list_documents(self, domain: str, collection: str, prefix: str = "") -> list[tuple[str, bytes]]:
        """See GatewayDoor."""
        vault = self._vault_of(domain)
        if vault is None:
            return await self._door.list_documents(domain, collection, prefix)
        stored = await self._door.list_documents(domain, collection)
        found = {key: value for key, value in stored if not is_sealed(key, value)}
        found.update(vault.open(collection, value) for key, value in stored if is_sealed(key, value))
        return sorted((key, value) for key, value in found.items() if key.startswith(prefix))
