"""How kernels are compiled. Importing this module imports numba (about a second): only the compiled modules do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic

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


def _emit_load(typing_context: Any, data: Any, at: Any) -> tuple[Any, Callable[..., Any]]:
    """Describe `load_word` to the compiler: its type, and the one instruction that it is."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return numba.types.uint64(data, at), emit


def _emit_first_byte(typing_context: Any, mask: Any) -> tuple[Any, Callable[..., Any]]:
    """Describe `first_byte` to the compiler."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.lshr(zeros, ir.Constant(ir.IntType(64), 3))

    return numba.types.int64(numba.types.uint64), emit


if sys.byteorder != "little":
    raise RuntimeError("the kernels read words as little-endian")

load_word: Callable[[npt.NDArray[np.uint8], int], Any] = intrinsic(_emit_load)
"""Return the eight bytes at an offset as one little-endian word; only inside kernels, and nothing checks the bounds."""

first_byte: Callable[[Any], int] = intrinsic(_emit_first_byte)
"""Return which byte of a little-endian word holds its lowest bit that is set, 8 when none is; only inside kernels."""
