import base64
import os
from pathlib import Path

import pytest

from amondawa.auth.master_key import MasterKeys, file_keys, key_file, master_keys, parse_key, replace_file_keys
from amondawa.errors import ConfigError, Corrupt
from amondawa.settings import Settings

ONE = bytes(range(32))
OTHER = bytes(range(1, 33))


def test_a_secret_decrypts_for_its_owner_only():
    masters = MasterKeys([ONE])
    sealed = masters.encrypt(b"secret", "K1")
    assert b"secret" not in sealed
    assert masters.decrypt(sealed, "K1") == b"secret"
    with pytest.raises(Corrupt):
        masters.decrypt(sealed, "K2")


def test_a_changed_secret_does_not_decrypt():
    masters = MasterKeys([ONE])
    sealed = bytearray(masters.encrypt(b"secret", "K1"))
    sealed[-1] ^= 1
    with pytest.raises(Corrupt):
        masters.decrypt(bytes(sealed), "K1")


def test_the_first_key_encrypts_and_all_decrypt():
    sealed = MasterKeys([ONE]).encrypt(b"secret", "K")
    both = MasterKeys([OTHER, ONE])
    assert both.decrypt(sealed, "K") == b"secret"
    assert not both.is_current(sealed)
    assert both.is_current(both.encrypt(b"secret", "K"))


def test_another_master_key_is_told_from_damage():
    sealed = MasterKeys([ONE]).encrypt(b"secret", "K")
    with pytest.raises(ConfigError, match="another master key"):
        MasterKeys([OTHER]).decrypt(sealed, "K")


@pytest.mark.parametrize(
    "text", [ONE.hex(), base64.b64encode(ONE).decode(), base64.b64encode(ONE).decode().rstrip("=")]
)
def test_32_bytes_are_taken_as_they_are(text: str):
    assert parse_key(text) == ONE


def test_any_other_text_is_stretched_and_a_short_one_refused():
    assert len(parse_key("correct horse battery staple")) == 32
    with pytest.raises(ConfigError, match="too short"):
        parse_key("hunter2")


def test_the_embedded_store_gets_a_key_file_that_only_its_owner_reads(tmp_path: Path):
    settings = Settings(data=str(tmp_path / "data"))
    first, second = master_keys(settings, ""), master_keys(settings, "")
    assert first is not None
    assert second is not None
    assert second.decrypt(first.encrypt(b"s", "K"), "K") == b"s"
    assert os.stat(key_file(settings)).st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["master.key"]


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path):
    settings = Settings(data=str(tmp_path))
    master_keys(settings, "")
    key_file(settings).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        master_keys(settings, "")


def test_the_key_file_is_read_again_when_its_keys_were_rotated(tmp_path: Path):
    settings = Settings(data=str(tmp_path))
    running = master_keys(settings, "")
    replace_file_keys(key_file(settings), [OTHER, *file_keys(key_file(settings))])
    rotated = master_keys(settings, "")
    assert running is not None
    assert rotated is not None
    assert running.decrypt(rotated.encrypt(b"s", "K"), "K") == b"s"


def test_without_a_directory_there_is_no_key_but_the_variable():
    assert master_keys(Settings(store="dynamodb"), "") is None
    assert master_keys(Settings(store="dynamodb"), ONE.hex()) is not None
