import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.auth.permissions import Permissions, Right, check_domain
from amondawa.errors import BadRequest


def test_rights_of_a_domain_given_twice_add_up():
    assert Permissions.parse(["a:r", "a:w"]).texts() == ["a:rw"]


def test_a_star_counts_in_every_domain():
    permissions = Permissions.parse(["*:r", "shop:w"])
    assert permissions.of("shop") == Right.BOTH
    assert permissions.of("bank") == Right.READ
    assert permissions.everywhere == Right.READ


def test_only_a_single_named_domain_is_the_only_one():
    assert Permissions.parse(["shop:r"]).only_domain == "shop"
    assert Permissions.parse(["shop:r", "bank:r"]).only_domain is None
    assert Permissions.parse(["*:rw"]).only_domain is None


def test_permissions_are_taken_away_right_by_right():
    left = Permissions.parse(["a:rw", "b:r"]).minus(Permissions.parse(["a:w", "b:r"]))
    assert left.texts() == ["a:r"]


@pytest.mark.parametrize("text", ["", "shop", ":rw", "shop:", "shop:x", "shop:wr", "a,b:r", "a/b:r", "a b:r", "**:r"])
def test_what_is_no_permission_is_refused(text: str):
    with pytest.raises(BadRequest):
        Permissions.parse([text])


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "a.", "-a", "a/b", "a%2Fb", "a:b", "a,b", "a\0b", "a b", "ä", "*", "a" * 129]
)
def test_what_could_be_taken_for_a_separator_is_in_no_domain(name: str):
    with pytest.raises(BadRequest):
        check_domain(name)


@given(st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,20}[A-Za-z0-9_\-])?", fullmatch=True))
def test_plain_names_are_domains(name: str):
    assert check_domain(name) == name
