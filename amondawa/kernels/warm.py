"""Compile every kernel into numba's cache: `python -m amondawa.kernels.warm`, once, at install.

Exit status: 0 when the kernels are ready, 1 when the gateway will run without them (it then reads lines more slowly).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

MODULES = (
    "amondawa.kernels.lines_compiled",
    "amondawa.kernels.points_compiled",
    "amondawa.kernels.grouping_compiled",
    "amondawa.kernels.json_kairosdb_compiled",
)


def warm(modules: Sequence[str] = MODULES) -> list[str]:
    """Compile the kernels of the modules; return what went wrong, one text a module."""
    problems = []
    for module in modules:
        try:
            import_module(module)
        except (ImportError, RuntimeError, OSError) as error:
            problems.append(f"{module}: {error}")
    return problems


def main() -> int:
    """Warm all kernels and report problems on standard error."""
    problems = warm()
    for problem in problems:
        sys.stderr.write(f"not compiled: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
