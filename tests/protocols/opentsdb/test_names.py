from __future__ import annotations

import pytest

from amondawa.errors import BadRequest
from amondawa.protocols.opentsdb.names import check_metric, check_series, check_tag


@pytest.mark.parametrize("name", ["m", "sys.cpu/0-user_x", "Zürich", "температура", "温度", "0", "..."])
def test_letters_of_every_script_digits_and_four_signs_are_allowed(name: str) -> None:
    check_metric(name)
    check_tag(name, name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "Invalid metric name: empty string"),
        ("a" * 4097, f'Invalid metric name ("{"a" * 64}..."): longer than 4096 characters'),
        ("a b", 'Invalid metric name ("a b"): illegal character:  '),
        ("a:b", 'Invalid metric name ("a:b"): illegal character: :'),
        ("٣", 'Invalid metric name ("٣"): illegal character: ٣'),
        ("a\n", 'Invalid metric name ("a\n"): illegal character: \n'),
        ("€", 'Invalid metric name ("€"): illegal character: €'),
    ],
)
def test_a_bad_metric_name_is_refused_with_its_first_bad_character(name: str, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_metric(name)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("k k", "v v", 'Invalid tag name with value [v v] ("k k"): illegal character:  '),
        ("k", "v v", 'Invalid tag value with key [k] ("v v"): illegal character:  '),
        ("", "v", "Invalid tag name with value [v]: empty string"),
        ("k", "", "Invalid tag value with key [k]: empty string"),
    ],
)
def test_a_bad_tag_is_refused_name_first(name: str, value: str, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_tag(name, value)
    assert caught.value.message == text


def test_the_number_of_tags_is_checked_before_the_names() -> None:
    with pytest.raises(BadRequest, match="Too many tags: 2 maximum allowed: 1, tags: "):
        check_series("a b", {"x": "1", "y": "2"}, 1)
    with pytest.raises(BadRequest, match="Need at least one tag"):
        check_series("a b", {}, 8)
    with pytest.raises(BadRequest, match="Invalid metric name"):
        check_series("a b", {"x x": "1"}, 8)
