"""Rights on domains: `domain:r`, `domain:w`, `domain:rw`, and `*` for every domain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Flag

from amondawa.errors import BadRequest

ANY_DOMAIN = "*"
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,126}[A-Za-z0-9_\-])?")


class Right(Flag):
    """What may be done in a domain."""

    NONE = 0
    READ = 1
    WRITE = 2
    BOTH = 3

    @property
    def letters(self) -> str:
        """`r`, `w`, `rw`, or nothing."""
        return ("r" if Right.READ in self else "") + ("w" if Right.WRITE in self else "")


_RIGHTS = {"r": Right.READ, "w": Right.WRITE, "rw": Right.BOTH}


def check_domain(name: str) -> str:
    """Return the name of a domain.

    Raises:
        BadRequest: it is not 1 to 128 letters, digits, `_`, `-` and inner `.`: anything else could be taken for a
            separator somewhere.
    """
    if not _DOMAIN.fullmatch(name):
        shown = name if len(name) <= 40 else name[:40] + "…"
        raise BadRequest(
            f"domain {shown!r} is not 1 to 128 letters, digits, underscores, dashes and inner dots", field="domain"
        )
    return name


@dataclass(frozen=True, slots=True)
class Permissions:
    """Rights by domain.

    Attributes:
        rights: by domain or `*`; none of them is empty.
    """

    rights: Mapping[str, Right]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Permissions:
        """Read permissions such as `shop:rw`; of one domain given twice the rights add up.

        Raises:
            BadRequest: a text that is no permission.
        """
        rights: dict[str, Right] = {}
        for text in texts:
            domain, colon, letters = text.rpartition(":")
            right = _RIGHTS.get(letters)
            if not colon or right is None:
                raise BadRequest(f"permission {text!r} is not DOMAIN:r, DOMAIN:w or DOMAIN:rw", field="permission")
            if domain != ANY_DOMAIN:
                check_domain(domain)
            rights[domain] = rights.get(domain, Right.NONE) | right
        return cls(rights)

    def texts(self) -> list[str]:
        """Return the permissions as they are written, sorted by domain."""
        return [f"{domain}:{right.letters}" for domain, right in sorted(self.rights.items())]

    def of(self, domain: str) -> Right:
        """Return the rights in a domain."""
        return self.rights.get(domain, Right.NONE) | self.rights.get(ANY_DOMAIN, Right.NONE)

    @property
    def everywhere(self) -> Right:
        """The rights in every domain."""
        return self.rights.get(ANY_DOMAIN, Right.NONE)

    @property
    def only_domain(self) -> str | None:
        """The domain, when there is just one."""
        names = list(self.rights)
        return names[0] if len(names) == 1 and names[0] != ANY_DOMAIN else None

    def plus(self, other: Permissions) -> Permissions:
        """Return the rights of both."""
        return Permissions({name: self._own(name) | other._own(name) for name in {*self.rights, *other.rights}})

    def minus(self, other: Permissions) -> Permissions:
        """Return the rights without those of another."""
        left = {name: right & ~other._own(name) for name, right in self.rights.items()}
        return Permissions({name: right for name, right in left.items() if right})

    def _own(self, name: str) -> Right:
        return self.rights.get(name, Right.NONE)
