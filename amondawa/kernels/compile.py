"""How kernels are compiled. Importing this module imports numba (about a second): only the compiled modules do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])

BYTES = numba.types.Array(numba.types.uint8, 1, "C", readonly=True)
"""the type of a read-only byte buffer, for signatures"""


def kernel(*signatures: object) -> Callable[[F], F]:
    """Compile a function for the given signatures now, from the cache on disk when it holds them.

    The function releases the interpreter lock. Signatures are numba types' calls, such as `int64(int64[::1])`.

    Raises:
        RuntimeError: numba finds no place for its cache.
    """

    def compiled(function: F) -> F:
        return cast(F, numba.njit(list(signatures), nogil=True, cache=True, error_model="numpy")(function))

    return compiled
