"""Documents of domains that keep tags as hashes: encrypted whole, for clients may write clear values into any of them.

What a client says about a series (annotations, meta data, trees, roll-up tasks, KairosDB's metadata) is text that nobody
can tell values from. So the whole document is encrypted under the domain's own key, and stored under a hash of its key.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from amondawa.errors import Corrupt

_MAGIC = b"AMV1"
_NONCE_BYTES = 12
_NAME_BYTES = 24
_LENGTH = struct.Struct("<I")
NAME_MARK = "~"


class Document(NamedTuple):
    """A document's key and value."""

    key: str
    value: bytes


class Vault:
    """Encrypts the documents of one domain.

    Args:
        key: of the domain's hashes; what is used here is derived from it.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"amondawa documents: content", "sha256"))
        self._names = hmac.digest(key, b"amondawa documents: names", "sha256")

    def name(self, collection: str, key: str) -> str:
        """Return the key that a document is stored under; the same for the same key, and tells nothing of it."""
        raw = hmac.digest(self._names, collection.encode() + b"\0" + key.encode("utf-8", "surrogateescape"), "sha256")
        return NAME_MARK + base64.urlsafe_b64encode(raw[:_NAME_BYTES]).decode()

    def seal(self, collection: str, document: Document) -> bytes:
        """Return a document encrypted, its key with it."""
        key = document.key.encode("utf-8", "surrogateescape")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        clear = _LENGTH.pack(len(key)) + key + document.value
        return _MAGIC + nonce + self._cipher.encrypt(nonce, clear, collection.encode())

    def open(self, collection: str, value: bytes) -> Document:
        """Return a document decrypted.

        Raises:
            Corrupt: it was changed, or is another domain's or collection's.
        """
        nonce, sealed = value[len(_MAGIC) :][:_NONCE_BYTES], value[len(_MAGIC) + _NONCE_BYTES :]
        try:
            clear = self._cipher.decrypt(nonce, sealed, collection.encode())
        except (InvalidTag, ValueError) as error:
            raise Corrupt(f"an encrypted document of {collection} does not decrypt") from error
        (length,) = _LENGTH.unpack_from(clear)
        end = _LENGTH.size + length
        return Document(clear[_LENGTH.size : end].decode("utf-8", "surrogateescape"), clear[end:])


def is_sealed(stored_key: str, value: bytes) -> bool:
    """Say whether a stored document is an encrypted one."""
    return stored_key.startswith(NAME_MARK) and value.startswith(_MAGIC)
