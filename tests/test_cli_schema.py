"""`configure`, `create_schema`, `delete_schema`: prompts, consent, refusals."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from amondawa.cli import command_line
from amondawa.settings import Settings, variable_of
from amondawa.store.configuration import read_configuration
from amondawa.store.dynamodb.store import DynamoStore, Options
from amondawa.store.sqlite import SqliteStore
from tests.store.engines import QUICK
from tests.store.strict_fake import StrictFake

FIRST_BLOCK_TABLES = 2
OTHER_TABLES = {"config", "credentials", "master", "metadata"}


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point the commands at a directory of this test."""
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.setenv("AMDW_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration that sets two keys."""
    path = tmp_path / "configuration.py"
    path.write_text("MIN = 60 * 1000\nconfiguration = {'store_column_height': 5 * MIN, 'mt_readers': 7}\n")
    return path


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def stored(data: Path) -> dict[str, object]:
    store = SqliteStore(data)
    store.open()
    try:
        return read_configuration(store)
    finally:
        store.close()


def tables(data: Path) -> set[str]:
    store = SqliteStore(data)
    store.open()
    try:
        return set(store.tables())
    finally:
        store.close()


# configure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n", "y\n", "yes\n", "N\n", "YY\n"])
def test_nothing_but_a_capital_y_is_consent(data: Path, file: Path, text: str, monkeypatch, capsys):
    answer(monkeypatch, text)
    assert command_line(["configure", str(file)]) == 1
    assert capsys.readouterr().out.endswith('Aborted: (choose "Y" to confirm).\n')
    assert stored(data) == {}


def test_the_dictionary_is_shown_and_written_after_a_y(data: Path, file: Path, monkeypatch, capsys):
    answer(monkeypatch, "Y\n")
    assert command_line(["configure", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("{'store_column_height': 300000, 'mt_readers': 7}\noverwrite Amondawa ")
    assert shown.endswith("Y/[N]:\nConfiguration written.\n")
    assert stored(data) == {"store_column_height": 300_000, "mt_readers": 7}


def test_scripts_give_consent_by_an_option_and_are_not_asked(data: Path, file: Path, monkeypatch, capsys):
    answer(monkeypatch, "")
    assert command_line(["configure", str(file), "--yes"]) == 0
    assert "Y/[N]" not in capsys.readouterr().out
    assert stored(data)["mt_readers"] == 7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("configuration = {'mt_reader': 7}", "unknown configuration key 'mt_reader'"),
        ("configuration = {'mt_readers': '7'}", "mt_readers must be a whole number, not '7'"),
        ("configuration = {'mt_readers': 0}", "mt_readers must be from 1 to 1024"),
        ("nothing = 1", "defines no `configuration`"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_status_2_before_anything_is_asked(
    data: Path, file: Path, content: str, words: str, capsys
):
    file.write_text(content)
    assert command_line(["configure", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert not data.exists()


def test_a_missing_file_or_argument_is_status_2(tmp_path: Path, capsys):
    assert command_line(["configure", str(tmp_path / "none.py")]) == 2
    assert command_line(["configure"]) == 2
    assert "FILE" in capsys.readouterr().err


def test_the_store_may_be_named_by_the_options_of_serve(tmp_path: Path, file: Path):
    other = tmp_path / "other"
    assert command_line(["configure", str(file), "--yes", "--data", str(other), "--store", "sqlite"]) == 0
    assert stored(other)["mt_readers"] == 7


@pytest.mark.parametrize("command", [["configure", "FILE", "--yes"], ["create_schema"], ["delete_schema", "--yes"]])
def test_a_store_in_memory_has_nothing_to_configure_create_or_delete(command: list[str], file: Path, capsys):
    arguments = [str(file) if word == "FILE" else word for word in command]
    assert command_line([*arguments, "--store", "memory"]) == 2
    assert "memory" in capsys.readouterr().err


def test_a_directory_in_use_can_be_configured(data: Path, file: Path):
    busy = SqliteStore(data)
    busy.open()
    assert command_line(["configure", str(file), "--yes"]) == 0
    busy.close()
    assert stored(data)["mt_readers"] == 7


# create_schema --------------------------------------------------------------------------------------------------------


def test_the_schema_is_created_with_the_default_when_nothing_was_configured(data: Path, capsys):
    assert command_line(["create_schema"]) == 0
    made = tables(data)
    assert made >= OTHER_TABLES
    blocks = made - OTHER_TABLES
    assert len(blocks) % FIRST_BLOCK_TABLES == 0
    assert {name.partition("_")[0] for name in blocks} == {"datapoints", "index"}
    assert all(name.endswith("-2592000") for name in blocks)
    shown = capsys.readouterr().out
    assert all(f"{table}  created\n" in shown for table in made)


def test_the_schema_follows_the_stored_configuration_and_variables(data: Path, file: Path, monkeypatch):
    file.write_text(
        "configuration = {'store_column_height': 300_000, 'store_history': 3_600_000, 'store_history_blocks': 3}"
    )
    command_line(["configure", str(file), "--yes"])
    command_line(["create_schema"])
    assert all(name.endswith("-1200") for name in tables(data) - OTHER_TABLES)
    command_line(["delete_schema", "--yes"])
    monkeypatch.setenv("AMDW_STORE_HISTORY_S", "7200")
    monkeypatch.setenv("AMDW_STORE_HISTORY_BLOCKS", "2")
    command_line(["create_schema"])
    assert all(name.endswith("-86400") for name in tables(data) - OTHER_TABLES)


def test_creating_the_schema_again_changes_nothing(data: Path, capsys):
    command_line(["create_schema"])
    before = tables(data)
    capsys.readouterr()
    assert command_line(["create_schema"]) == 0
    assert "created\n" not in capsys.readouterr().out
    assert tables(data) >= before


@pytest.mark.parametrize("command", [["create_schema"], ["delete_schema", "--yes"]])
def test_a_store_that_a_gateway_uses_is_left_alone(data: Path, command: list[str], capsys):
    busy = SqliteStore(data)
    busy.open()
    busy.create_table("metadata")
    assert command_line(command) == 2
    assert "in use by another process" in capsys.readouterr().err
    assert busy.tables() == ["metadata"]
    busy.close()


# delete_schema --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "y\n", "N\n"])
def test_nothing_is_deleted_without_consent(data: Path, text: str, monkeypatch, capsys):
    command_line(["create_schema"])
    before = tables(data)
    answer(monkeypatch, text)
    assert command_line(["delete_schema"]) == 1
    shown = capsys.readouterr().out
    assert "will delete the Amondawa schema and all the DATA" in shown
    assert str(data) in shown
    assert tables(data) == before


def test_everything_is_deleted_after_a_y(data: Path, monkeypatch, capsys):
    command_line(["create_schema"])
    store = SqliteStore(data)
    store.open()
    store.journal_append(1, 1, b"x")
    store.close()
    answer(monkeypatch, "Y\n")
    assert command_line(["delete_schema"]) == 0
    assert capsys.readouterr().out.endswith("Schema and data deleted.\n")
    assert tables(data) == set()
    assert list((data / "blocks").iterdir()) == list((data / "journal").iterdir()) == []
    assert command_line(["create_schema"]) == 0


def test_tables_that_another_gateway_uses_are_left_alone_before_anything_is_asked(monkeypatch, capsys):
    fake = StrictFake()
    options = Options(2, 2, QUICK, lease_s=0.6)

    def opened(_settings: object = None, shard: str = "here") -> DynamoStore:
        store = DynamoStore(fake.client, "amdw", shard, options)
        store.open()
        return store

    monkeypatch.setattr("amondawa.cli_schema.open_store", opened)
    other = opened(shard="elsewhere")
    assert command_line(["delete_schema", "--yes", "--store", "dynamodb"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "the gateway 'elsewhere' uses table space amdw in us-west-2" in err
    assert fake.tables
    other.close()
    assert command_line(["delete_schema", "--yes", "--store", "dynamodb"]) == 0
    assert fake.tables == {}
