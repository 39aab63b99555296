"""Work done in a bounded pool, its first error raised when all of it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def in_parallel(pool: ThreadPoolExecutor, work: Callable[[A], R], arguments: Sequence[A]) -> list[R]:
    """Return work(argument) of each argument, in order; a single one runs in the caller's thread.

    Work must not itself wait for the pool. After an error what has not begun is left undone.
    Work sees the caller's context variables (who pays).
    """
    if len(arguments) <= 1:
        return [work(argument) for argument in arguments]
    futures = [pool.submit(copy_context().run, work, argument) for argument in arguments]
    try:
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)
        raise
