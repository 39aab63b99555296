"""The names of one kind with their ids, and the documents that the log of names is cut into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

_CHUNK = 50_000
"""entries of which no document of any allowed size holds more"""


class NameTable:
    """The names of one kind; ids index `names` and `created_s`."""

    __slots__ = ("ids", "names", "created_s", "explicit", "stored", "by_stored")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.names: list[str] = [""]
        self.created_s: list[int] = [0]
        self.explicit: set[int] = set()
        self.stored: dict[int, str] = {}
        self.by_stored: dict[str, int] = {}

    def put(self, uid: int, name: str, stored: str, created_s: int, explicit: bool) -> None:
        """File a name under an id, in place of the id's former name."""
        missing = uid + 1 - len(self.names)
        if missing > 0:
            self.names.extend([""] * missing)
            self.created_s.extend([0] * missing)
        former = self.names[uid]
        if former and self.ids.get(former) == uid:
            del self.ids[former]
        self.names[uid] = name
        self.ids[name] = uid
        self.created_s[uid] = created_s
        if explicit:
            self.explicit.add(uid)
        if stored != name:
            self.stored[uid] = stored
            self.by_stored[stored] = uid
        elif uid in self.stored:
            del self.stored[uid], self.by_stored[stored]

    def take_back(self, uid: int) -> None:
        """Forget the last id, which was tentative; nothing happens when another name has it by now."""
        if uid != len(self.names) - 1:
            return
        name = self.names[uid]
        stored = self.stored.pop(uid, name)
        if self.by_stored.get(stored) == uid:
            del self.by_stored[stored]
        if self.ids.get(name) == uid:
            del self.ids[name]
        self.explicit.discard(uid)
        self.names.pop()
        self.created_s.pop()

    def free_stored(self, name: str) -> str:
        """Return the name under which a new wire name's points are to be stored; the same on every gateway."""
        while name in self.by_stored:
            name = f"{name}~{self.by_stored[name]:06X}"
        return name

    def of_stored(self, stored: str) -> int | None:
        """Return the id whose points are stored under a name."""
        uid = self.by_stored.get(stored) if self.by_stored else None
        return self.ids.get(stored) if uid is None else uid

    def stored_name(self, uid: int) -> str:
        """Return the name under which an id's points are stored."""
        return self.stored.get(uid, self.names[uid]) if self.stored else self.names[uid]


def first_document(entries: Sequence[Sequence[str | int]], limit_bytes: int) -> tuple[bytes, int]:
    """Render the first entries of the log, at least one, as a document of limited size; return it and their number."""
    rows: list[bytes] = []
    size = 2
    for entry in entries:
        row = orjson.dumps(entry)
        if rows and size + len(row) > limit_bytes:
            break
        rows.append(row)
        size += len(row) + 1
    return b"[" + b",".join(rows) + b"]", len(rows)


def render_log(entries: Sequence[Sequence[str | int]], limit_bytes: int) -> Iterator[bytes]:
    """Render entries of the log as documents of limited size."""
    at = 0
    while at < len(entries):
        document, count = first_document(entries[at : at + _CHUNK], limit_bytes)
        yield document
        at += count
