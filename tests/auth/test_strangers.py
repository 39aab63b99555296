"""Clients without a key."""

from __future__ import annotations

import pytest

from amondawa.auth.strangers import anonymous_domain, is_loopback
from amondawa.settings import Settings


@pytest.mark.parametrize(
    "address", ["", "0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "127.0.0.1.example", "localhost."]
)  # noqa: S104
def test_other_machines_are_no_loopback(address: str):
    assert not is_loopback(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost"])
def test_this_machine_is(address: str):
    assert is_loopback(address)


def test_the_settings_may_name_a_domain_for_anybody():
    assert anonymous_domain(Settings()) is None
    assert anonymous_domain(Settings(allow_anonymous="shop:rw")) == "shop"
