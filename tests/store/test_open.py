from __future__ import annotations

from pathlib import Path

import pytest

from amondawa.errors import ConfigError
from amondawa.settings import Settings
from amondawa.store import open as opening
from amondawa.store.open import open_store


@pytest.mark.parametrize("name", ["sqlite", "memory"])
def test_a_store_is_opened_by_name(name: str, tmp_path: Path) -> None:
    store = open_store(Settings(store=name, data=str(tmp_path / "data")))
    store.create_table("metadata")
    assert (store.name, store.tables()) == (name, ["metadata"])
    store.close()


def test_an_unknown_store_is_a_setting_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'tape' is unknown; choose one of dynamodb, memory, sqlite"):
        open_store(Settings(store="tape"))


def test_a_store_whose_module_is_missing_is_a_setting_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(opening.STORES, "tape", "amondawa.store.tape:TapeStore")
    with pytest.raises(ConfigError, match="cannot be used here: No module named"):
        open_store(Settings(store="tape"))
