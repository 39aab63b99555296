"""The registry of operators: a name, the kind of operator, and the class that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to operators, in order of registration. A registry is built at import of its module and only read later."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files an operator under a name."""

        def file(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.what} {name} is registered twice")
            self._entries[name] = entry
            return entry

        return file

    def find(self, name: str) -> T | None:
        """Return the operator of a name, or None."""
        return self._entries.get(name)

    def names(self) -> list[str]:
        """Return all names in order of registration."""
        return list(self._entries)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return iter(self._entries.items())
