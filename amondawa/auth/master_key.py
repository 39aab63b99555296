"""Encryption of secrets at rest: AES-256-GCM under master keys.

The keys come from AMDW_MASTER_KEY, or, for the embedded store, from a file of mode 0600 in its directory. There may be
several: the first one encrypts, all of them decrypt, so that keys can be rotated while gateways run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from amondawa.errors import ConfigError, Corrupt
from amondawa.settings import Settings

VARIABLE = "AMDW_MASTER_KEY"
FILE_NAME = "master.key"
KEY_BYTES = 32
_NONCE_BYTES = 12
_MARK_BYTES = 4
_LEAST_CHARACTERS = 8
_STRETCH_SALT = b"amondawa master key, version 1"


class MasterKeys:
    """Encrypts and decrypts small secrets.

    Args:
        keys: of 32 bytes each; the first one encrypts.
        path: the file they came from, looked at again when something was encrypted with a key that is not known.
    """

    def __init__(self, keys: Sequence[bytes], path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._set(keys)

    def _set(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_mark(key): AESGCM(key) for key in reversed(keys)}
        self._first = _mark(keys[0])

    def encrypt(self, secret: bytes, owner: str) -> bytes:
        """Return a secret encrypted; it can only be decrypted for the same owner."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._first + nonce + self._ciphers[self._first].encrypt(nonce, secret, owner.encode())

    def decrypt(self, data: bytes, owner: str) -> bytes:
        """Return the secret of an owner.

        Raises:
            ConfigError: it was encrypted with a key that is not known here.
            Corrupt: it was changed, or belongs to another owner.
        """
        cipher = self._cipher(data[:_MARK_BYTES])
        nonce = data[_MARK_BYTES : _MARK_BYTES + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, data[_MARK_BYTES + _NONCE_BYTES :], owner.encode())
        except (InvalidTag, ValueError) as error:
            raise Corrupt(f"the secret of {owner} does not decrypt") from error

    def is_current(self, data: bytes) -> bool:
        """Say whether something is encrypted with the key that encrypts now."""
        return data[:_MARK_BYTES] == self._first

    def _cipher(self, mark: bytes) -> AESGCM:
        if mark not in self._ciphers and self._path is not None:
            with self._lock:
                self._set(_read_file(self._path))
        cipher = self._ciphers.get(mark)
        if cipher is None:
            where = f"{self._path}" if self._path is not None else VARIABLE
            raise ConfigError(f"secrets in the store were encrypted with another master key than that of {where}")
        return cipher


def _mark(key: bytes) -> bytes:
    """Return what tells keys apart and gives nothing of them away."""
    return hashlib.sha256(b"amondawa key mark" + key).digest()[:_MARK_BYTES]


def master_keys(settings: Settings, given: str) -> MasterKeys | None:
    """Return the master keys that are in force; None when there are none (no variable, and a store without a directory).

    Args:
        settings: which store it is.
        given: the value of AMDW_MASTER_KEY; empty = not set.

    Raises:
        ConfigError: the variable or the key file cannot be used.
    """
    if given.strip():
        return MasterKeys([parse_key(text) for text in given.replace(",", " ").split()])
    if settings.store == "memory":
        return MasterKeys([secrets.token_bytes(KEY_BYTES)])
    if settings.store != "sqlite":
        return None
    path = key_file(settings)
    _create_file(path)
    return MasterKeys(_read_file(path), path)


def key_file(settings: Settings) -> Path:
    """Return where the embedded store keeps its master key."""
    return Path(settings.data) / FILE_NAME


def parse_key(text: str) -> bytes:
    """Return a key of 32 bytes: 64 hexadecimal digits or base64 of 32 bytes as they are, any other text stretched.

    Raises:
        ConfigError: too short a text.
    """
    if len(text) == 2 * KEY_BYTES and all(c in "0123456789abcdefABCDEF" for c in text):
        return bytes.fromhex(text)
    try:
        raw = base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_" if {*text} & {*"-_"} else None, validate=True
        )
        if len(raw) == KEY_BYTES:
            return raw
    except (binascii.Error, ValueError):
        pass  # it is a text
    if len(text) < _LEAST_CHARACTERS:
        raise ConfigError(
            f"{VARIABLE} is too short: give 32 random bytes in base64, as `openssl rand -base64 32` prints"
        )
    return hashlib.scrypt(text.encode(), salt=_STRETCH_SALT, n=2**15, r=8, p=1, maxmem=2**26, dklen=KEY_BYTES)


def _create_file(path: Path) -> None:
    """Make the key file unless it is there; its name appears with its content."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        _write_private(draft, [secrets.token_bytes(KEY_BYTES)])
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first, and its key counts
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be made: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _write_private(path: Path, keys: Sequence[bytes]) -> None:
    text = "".join(base64.b64encode(key).decode() + "\n" for key in keys)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        os.fchmod(handle, 0o600)
        file.write(text)
        file.flush()
        os.fsync(handle)


def _read_file(path: Path) -> list[bytes]:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"the key file {path} can be read by others: chmod 600 {path}")
        words = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the key file {path} cannot be read: {error}") from error
    if not words:
        raise ConfigError(f"the key file {path} is empty")
    return [parse_key(word) for word in words]


def replace_file_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Put other keys in the place of the key file's, all at once."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        _write_private(draft, keys)
        os.replace(draft, path)
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be written: {error}") from error


def file_keys(path: Path) -> list[bytes]:
    """Return the keys of the key file, the one that encrypts first."""
    return _read_file(path)
