import pytest

from amondawa.cli import amondawa, command_line
from amondawa.settings import Settings, read_settings, variable_of


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(variable_of(name), raising=False)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line on stderr; nothing was on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "--nonsense"),
        (["serve", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["--http"], "--http"),
        (["--http", "many"], "--http must be a whole number, not 'many'"),
        (["--http", "65536"], "--http must be from 0 to 65535"),
        (["--kairosdb", "-1"], "--kairosdb"),
        (["--opentsdb", "1.5"], "--opentsdb"),
        (["--kairosdb-telnet", ""], "--kairosdb-telnet"),
        (["--store", "paper"], "--store must be one of sqlite, dynamodb, memory"),
        (["--data", ""], "--data must not be empty"),
        (["--bind", ""], "--bind must not be empty"),
        (["--log", "loud"], "--log"),
        (["--allow-anonymous", "all"], "--allow-anonymous"),
        (["--allow-anonymous", "a/b:rw"], "--allow-anonymous: domain 'a/b' is not 1 to 128 letters"),
        (["--bind", "0.0.0.0"], "--allow-anonymous"),
        (["surplus", "argument"], "surplus"),
        (["serve", "surplus"], "surplus"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_status_2(arguments: list[str], words: str, capsys):
    assert command_line(arguments) == 2
    assert words in one_line(capsys)


def test_a_wrong_variable_is_one_clear_line_and_status_2(capsys, monkeypatch):
    monkeypatch.setenv("AMDW_QUERY_THREADS", "several")
    assert command_line([]) == 2
    assert one_line(capsys) == "amondawa: AMDW_QUERY_THREADS must be a whole number, not 'several'\n"


@pytest.mark.parametrize("domain", ["a/b", "a:b", "a b", ".a", "ä", "a" * 129, "*"])
def test_a_default_domain_that_no_request_could_name_is_one_clear_line_and_status_2(domain, capsys, monkeypatch):
    monkeypatch.setenv("AMDW_DEFAULT_DOMAIN", domain)
    assert command_line([]) == 2
    assert "AMDW_DEFAULT_DOMAIN, or --allow-anonymous: domain" in one_line(capsys)


def test_the_settings_in_force_are_printed_with_a_mark_at_defaults(capsys, monkeypatch):
    monkeypatch.setenv("AMDW_HTTP", "6000")
    monkeypatch.setenv("AMDW_OPENTSDB_ALLOW_DELETE", "yes")
    assert command_line(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  AMDW_HTTP=6000" in lines
    assert "  AMDW_OPENTSDB_ALLOW_DELETE=true" in lines
    assert "# AMDW_KAIROSDB=8080" in lines
    assert len(lines) == len(Settings.__dataclass_fields__)


def test_the_defaults_of_a_store_are_defaults_too(capsys, monkeypatch):
    monkeypatch.setattr("amondawa.cli_settings.configured_settings", read_settings)
    assert command_line(["settings", "--store", "dynamodb"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "# AMDW_FLUSH_AGE_S=43200" in lines
    assert "# AMDW_STORE_COLUMN_HEIGHT_S=28800" in lines
    assert "  AMDW_STORE=dynamodb" in lines


def test_the_settings_of_the_store_that_the_options_of_serve_name_are_printed(tmp_path, capsys):
    file = tmp_path / "configuration.py"
    file.write_text("configuration = {'mt_readers': 7}")
    place = ["--store", "sqlite", "--data", str(tmp_path / "data")]
    assert command_line(["configure", str(file), "--yes", *place]) == 0
    assert command_line(["settings", *place]) == 0
    assert "  AMDW_MT_READERS=7" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "name", ["ac", "configure", "create_schema", "delete_schema", "rollup-blocks", "serve", "settings"]
)
def test_every_command_that_opens_a_store_takes_the_options_that_say_where_it_is(name: str):
    options = {option for parameter in amondawa.commands[name].params for option in parameter.opts}
    assert {"--store", "--data"} <= options


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["--version"]])
def test_help_and_version_are_no_errors(arguments: list[str], capsys):
    assert command_line(arguments) == 0
    assert capsys.readouterr().out
