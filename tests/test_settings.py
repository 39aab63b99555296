from dataclasses import fields

import pytest

from amondawa.errors import ConfigError
from amondawa.settings import CHOICES, RANGES, Settings, read_settings, unknown_variables, variable_of

NUMBERS = [field for field in fields(Settings) if isinstance(field.default, int | float) and field.type != "bool"]
SWITCHES = [field for field in fields(Settings) if field.type == "bool"]


def test_nothing_given_is_the_defaults():
    assert read_settings({}, {}) == Settings()


def test_every_number_has_a_range_that_holds_its_default():
    assert {field.name for field in NUMBERS} == set(RANGES)
    for field in NUMBERS:
        low, high = RANGES[field.name]
        assert low <= field.default <= high


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
@pytest.mark.parametrize("text", ["x", "1x", "", " ", "nan", "1e400", "-1", "99999999999999999999999"])
def test_a_number_that_is_none_or_out_of_range_names_its_variable(field, text: str):
    variable = variable_of(field.name)
    if not text:
        assert read_settings({}, {variable: text}) == Settings()
        return
    with pytest.raises(ConfigError, match=variable):
        read_settings({}, {variable: text})


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_are_allowed(name: str):
    for edge in RANGES[name]:
        kind = type(getattr(Settings(), name))
        assert getattr(read_settings({}, {variable_of(name): str(kind(edge))}), name) == edge


@pytest.mark.parametrize("field", SWITCHES, ids=lambda field: field.name)
def test_a_switch_is_a_word(field):
    variable = variable_of(field.name)
    for text, value in {
        "true": True,
        "YES": True,
        "1": True,
        "on": True,
        "false": False,
        "0": False,
        "Off": False,
    }.items():
        assert getattr(read_settings({}, {variable: text}), field.name) is value
    with pytest.raises(ConfigError, match=variable):
        read_settings({}, {variable: "maybe"})


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_names_what_may_be_chosen(name: str):
    with pytest.raises(ConfigError, match=f"{variable_of(name)} must be one of {', '.join(CHOICES[name])}"):
        read_settings({}, {variable_of(name): "nonesuch"})
    for choice in CHOICES[name]:
        assert getattr(read_settings({name: choice}, {}), name) == choice


def test_an_option_wins_over_its_variable():
    assert read_settings({"http_port": "6000"}, {"AMDW_HTTP": "7000"}).http_port == 6000
    assert read_settings({"http_port": None}, {"AMDW_HTTP": "7000"}).http_port == 7000


def test_a_wrong_option_is_named_as_it_was_typed():
    with pytest.raises(ConfigError, match="--kairosdb-telnet must be a whole number, not 'x'"):
        read_settings({"kairosdb_telnet_port": "x"}, {})


@pytest.mark.parametrize(
    ("field", "variable"),
    [
        ("http_port", "AMDW_HTTP"),
        ("kairosdb_port", "AMDW_KAIROSDB"),
        ("opentsdb_port", "AMDW_OPENTSDB"),
        ("kairosdb_telnet_port", "AMDW_KAIROSDB_TELNET"),
        ("region", "AMDW_REGION"),
        ("table_space", "AMDW_TABLE_SPACE"),
        ("opentsdb_allow_delete", "AMDW_OPENTSDB_ALLOW_DELETE"),
    ],
)
def test_the_names_of_variables(field: str, variable: str):
    assert variable_of(field) == variable


def test_no_two_settings_share_a_variable():
    variables = [variable_of(field.name) for field in fields(Settings)]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize("value", ["a", "a:r", "a:w", ":rw", "rw", "a:rw:"])
def test_anonymous_access_is_a_domain_with_both_rights(value: str):
    with pytest.raises(ConfigError, match="--allow-anonymous must be DOMAIN:rw"):
        read_settings({"allow_anonymous": value}, {})


def test_the_anonymous_domain_is_where_requests_without_one_go():
    assert read_settings({"allow_anonymous": "shop:rw"}, {}).default_domain == "shop"
    assert read_settings({"allow_anonymous": "*:rw"}, {}).default_domain == "default"
    assert read_settings({"allow_anonymous": "*:rw"}, {"AMDW_DEFAULT_DOMAIN": "b"}).default_domain == "b"


def test_a_default_domain_that_nobody_may_use_is_refused():
    with pytest.raises(ConfigError, match="AMDW_DEFAULT_DOMAIN"):
        read_settings({"allow_anonymous": "a:rw"}, {"AMDW_DEFAULT_DOMAIN": "b"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AMDW_TABLE_SPACE", "a b"),
        ("AMDW_TABLE_SPACE", "x" * 65),
        ("AMDW_DYNAMODB_ENDPOINT", "localhost:8000"),
        ("AMDW_DATA", " "),
        ("AMDW_BIND", " "),
        ("AMDW_REGION", " "),
        ("AMDW_DEFAULT_DOMAIN", " "),
        ("AMDW_OPENTSDB_HISTOGRAMS", "SimpleHistogramDecoder"),
        ("AMDW_OPENTSDB_HISTOGRAMS", "256:A"),
        ("AMDW_OPENTSDB_HISTOGRAMS", "1:A,2:"),
    ],
)
def test_texts_have_rules_too(variable: str, value: str):
    with pytest.raises(ConfigError, match=variable):
        read_settings({}, {variable: value})


def test_strangers_are_told_with_what_was_probably_meant():
    found = unknown_variables({"AMDW_DATTA": "x", "AMDW_QQQQQQ": "1", "AMDW_DATA": "y", "PATH": "/bin"})
    assert found == {"AMDW_DATTA": "AMDW_DATA", "AMDW_QQQQQQ": ""}


def test_a_store_has_its_own_defaults_which_yield_to_what_is_given():
    plain, billed = read_settings({}, {}), read_settings({"store": "dynamodb"}, {})
    assert (plain.store_column_height_s, billed.store_column_height_s) == (86_400, 28_800)
    assert (plain.flush_age_s, billed.flush_age_s) == (3_600, 43_200)
    given = {"AMDW_STORE": "dynamodb", "AMDW_FLUSH_AGE_S": "60"}
    assert read_settings({}, given, {"store_column_height_s": 7_200}).store_column_height_s == 7_200
    assert read_settings({}, given).flush_age_s == 60
