import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.aggregate.formula import MAX_CHARS, NoNumber, parse_formula
from amondawa.aggregate.formula_text import BadFormula

A = np.array([1.0, 2.0, 3.0])
B = np.array([10.0, 20.0, 30.0])


def value(text: str) -> list[float]:
    return parse_formula(text).evaluate({"a": A, "b": B}, 3).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a +",
        "a + * b",
        "(a",
        "a)",
        "a b",
        "1 2",
        "a ? b",
        "a ? b : ",
        "a # b",
        "a.b",
        "a(b",
        "= a",
        "a = b",
        "a & ",
        "a * 1.5e",
        "a * 1e1",
        "a > b > 1",
        "a == b != 1",
        "a ? : b",
        "a + .5",
        "a + 08",
    ],
)
def test_what_does_not_parse_is_refused(text: str):
    with pytest.raises(BadFormula, match="parsing error (in|near)"):
        parse_formula(text)


@pytest.mark.parametrize(
    ("text", "column"),
    [("a ** 2", 4), ("a + * b", 5), ("+ a", 1), ("a +", 3), ("(a + b", 6), ("a)", 2), (")", 1), ("a # b", 3), ("", 1)],
)
def test_the_column_where_a_text_goes_wrong_is_named(text: str, column: int):
    with pytest.raises(BadFormula) as refused:
        parse_formula(text)
    assert refused.value.message == f"net.opentsdb.query.pojo.Expression.validate@1:{column} parsing error in '{text}'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a + b + * a", "net.opentsdb.query.pojo.Expression.validate@1:9 parsing error near '... b + * a ...'"),
        (
            "a ** 2 + b + b",
            "net.opentsdb.query.pojo.Expression.validate@1:4 parsing error near '... a ** 2 + b + b ...'",
        ),
        ("a > b > 1 + a", "net.opentsdb.query.pojo.Expression.validate@1:7 parsing error near '... > b > 1 +  ...'"),
        ("a b", "b@1:3 parsing error near '... Ambiguous sta ...'"),
        ("a * 1e3", "e3@1:6 parsing error near '... mbiguous s ...'"),
        ("a + b + b + b c", "c@1:15 parsing error near '... statement, ...'"),
    ],
)
def test_errors_show_what_is_around_them_and_formulas_that_follow_one_another(text: str, message: str):
    with pytest.raises(BadFormula) as refused:
        parse_formula(text)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a > 1 ? 1 : 0", "Integer"),
        ("a > 300 ? a : -1", "Integer"),
        ("a > 1 ? (b > 2 ? 1.0 : b) : a", "Float"),
        ("a & 1", "Long"),
        ("~a", "Long"),
    ],
)
def test_a_result_that_is_no_double_is_refused(text: str, kind: str):
    with pytest.raises(NoNumber, match=f"java.lang.{kind}"):
        value(text)


def test_constants_that_no_row_takes_do_no_harm():
    assert value("a > 0 ? b : 1") == [10.0, 20.0, 30.0]


def test_there_are_no_functions():
    for text in ("max(a, b)", "abs(a)", "now()"):
        with pytest.raises(NoNumber, match="there is no function"):
            value(text)


def test_names_in_doubled_parentheses_are_null():
    assert parse_formula("((a + b)) * 2").names == ()
    assert parse_formula("((a)) + b").names == ("b",)
    assert parse_formula("((a) + (b)) * (a)").names == ("a", "b")
    assert parse_formula("((a)) + b").evaluate({"b": B}, 3).tolist() == [10.0, 20.0, 30.0]


def test_long_and_deep_formulas_are_refused():
    with pytest.raises(BadFormula, match="4096 characters"):
        parse_formula("a+" * MAX_CHARS + "a")
    for nested in ("(" * 200 + "a" + ")" * 200, "-" * 200 + "a", "!" * 200 + "a", "a?a:" * 200 + "a"):
        with pytest.raises(BadFormula, match="nested"):
            parse_formula(nested)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", [11.0, 22.0, 33.0]),
        ("(a + b) * 2 - a / 4", [21.75, 43.5, 65.25]),
        ("a - b - 1", [-10.0, -19.0, -28.0]),
        ("a / b / 2", [0.05, 0.05, 0.05]),
        ("-a * -2", [2.0, 4.0, 6.0]),
        ("b % 7", [3.0, 6.0, 2.0]),
        ("b mod 7", [3.0, 6.0, 2.0]),
        ("b div a", [10.0, 10.0, 10.0]),
        ("a > 1", [0.0, 1.0, 1.0]),
        ("a >= 2 && b < 30", [0.0, 1.0, 0.0]),
        ("a eq 1 or b == 30", [1.0, 0.0, 1.0]),
        ("!(a > 1)", [1.0, 0.0, 0.0]),
        ("not a", [0.0, 0.0, 0.0]),
        ("a > 1 ? b : a", [1.0, 20.0, 30.0]),
        ("(a > 1 ? a > 2 ? 3 : 2 : 1) * 1.0", [1.0, 2.0, 3.0]),
        ("(a > 1) + 1", [1.0, 2.0, 2.0]),
        ("a != 2 && true", [1.0, 0.0, 1.0]),
        ("a + null", [1.0, 2.0, 3.0]),
        ("a + 0x10", [17.0, 18.0, 19.0]),
        ("a + 010", [9.0, 10.0, 11.0]),
        ("a + 1L", [2.0, 3.0, 4.0]),
        ("a + 3.14159265358979", [4.1415927, 5.1415927, 6.1415927]),
        ("(b & 3) * 1.0", [2.0, 0.0, 2.0]),
        ("(b | 1) * 1.0", [11.0, 21.0, 31.0]),
        ("(b ^ 8) * 1.0", [2.0, 28.0, 22.0]),
        ("a + b;", [11.0, 22.0, 33.0]),
        ("a * 1.5e1", [15.0, 30.0, 45.0]),
        ("a * 5.0E-1", [0.5, 1.0, 1.5]),
        ("a * 1.5e40", [math.inf, math.inf, math.inf]),
        ("a - 1 ?: b", [10.0, 1.0, 2.0]),
        ("(a > 1) > 0", [0.0, 1.0, 1.0]),
    ],
)
def test_formulas_give(text: str, expected: list[float]):
    assert value(text) == pytest.approx(expected)


def test_whole_constants_divide_without_remainder():
    assert value("7 / 2 + a * 0") == [3.0, 3.0, 3.0]
    assert value("-7 / 2 + a * 0") == [-3.0, -3.0, -3.0]
    assert value("-7 % 3 + a * 0") == [-1.0, -1.0, -1.0]
    assert value("7 / 2.0 + a * 0") == [3.5, 3.5, 3.5]


def test_division_and_remainder_by_zero_give_zero():
    for text in ("a / 0", "a % 0", "a / (a - a)", "1 / 0 + a * 0", "1 % 0 + a * 0"):
        assert value(text) == [0.0, 0.0, 0.0], text


def test_whole_constants_do_not_outgrow_a_double():
    big = "9" * 30
    assert value(f"{big} * {big} + a * 0") == [pytest.approx(1e60)] * 3
    assert value("*".join(["999999999999999999"] * 100) + " + a * 0") == [math.inf] * 3


def test_names_are_listed_once_in_order_of_use():
    assert parse_formula("b + a * b").names == ("b", "a")


def test_a_formula_of_constants_holds_at_every_time():
    assert parse_formula("1 + 1.0").evaluate({}, 2).tolist() == [2.0, 2.0]


def test_nan_counts_as_false():
    got = parse_formula("a || false").evaluate({"a": np.array([math.nan, 0.0, 5.0])}, 3)
    assert got.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b", [1.0, 0.0, 0.0]),
        ("a <= b", [1.0, 0.0, 1.0]),
        ("a > b", [0.0, 1.0, 0.0]),
        ("a >= b", [0.0, 1.0, 1.0]),
        ("a == b", [0.0, 0.0, 1.0]),
        ("a != b", [1.0, 1.0, 0.0]),
        ("a == (b < 0)", [1.0, 1.0, 0.0]),
        ("a == (b > 0)", [0.0, 0.0, 1.0]),
    ],
)
def test_nan_is_equal_to_itself_and_below_every_number(text: str, expected: list[float]):
    columns = {"a": np.array([math.nan, 1.0, math.nan]), "b": np.array([1.0, math.nan, math.nan])}
    assert parse_formula(text).evaluate(columns, 3).tolist() == expected


@given(
    st.lists(st.sampled_from(["a", "b", "1", "2.5", "+", "-", "*", "/", "%", "(", ")", "<", "&&", "!", "?", ":", " "]))
)
def test_any_text_parses_or_is_refused(parts: list[str]):
    try:
        formula = parse_formula("".join(parts))
        got = formula.evaluate(dict.fromkeys(formula.names, A), 3)
    except (BadFormula, NoNumber):
        return
    assert len(got) == 3
