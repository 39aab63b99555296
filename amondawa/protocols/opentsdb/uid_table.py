"""The names of one kind with their ids, and the documents that the log of names is cut into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson


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

    def of_stored(self, stored: str) -> int | None:
        """Return the id whose points are stored under a name."""
        uid = self.by_stored.get(stored) if self.by_stored else None
        return self.ids.get(stored) if uid is None else uid

    def stored_name(self, uid: int) -> str:
        """Return the name under which an id's points are stored."""
        return self.stored.get(uid, self.names[uid]) if self.stored else self.names[uid]


def render_log(entries: Sequence[Sequence[str | int]], limit_bytes: int) -> Iterable[bytes]:
    """Render entries of the log as documents of limited size."""
    rows: list[bytes] = []
    size = 0
    for entry in entries:
        row = orjson.dumps(entry)
        if rows and size + len(row) > limit_bytes:
            yield b"[" + b",".join(rows) + b"]"
            rows, size = [], 0
        rows.append(row)
        size += len(row) + 1
    if rows:
        yield b"[" + b",".join(rows) + b"]"
