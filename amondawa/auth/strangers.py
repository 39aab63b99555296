"""What clients without a key may do while there are no keys."""

from __future__ import annotations

import ipaddress

from amondawa.settings import Settings


def anonymous_domain(settings: Settings) -> str | None:
    """Return the domain that clients without a key may use by the settings (`*` = any); None = they say nothing."""
    return settings.allow_anonymous.rpartition(":")[0] or None


def is_loopback(address: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
