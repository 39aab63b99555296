"""Fast reading of put lines: the compiled reader when it can be had, its twin otherwise.

numba is imported at first use only, in a thread of its own where it would otherwise hold up the event loop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib import import_module

from amondawa.kernels.line_columns import LineTable, ScanRules
from amondawa.kernels.lines_twin import TwinTable

_log = logging.getLogger(__name__)

LOADING_THREAD = "load-line-kernel"
"""The daemon thread that compiles, at worst for many seconds; an interpreter must not be taken down around it."""

TableMaker = Callable[[ScanRules], LineTable]


class Loader:
    """Finds the compiled reader once for the whole process.

    Args:
        module: where it is; another name in tests.
    """

    def __init__(self, module: str = "amondawa.kernels.lines_compiled") -> None:
        self._module = module
        self._lock = threading.Lock()
        self._tried = False
        self._thread: threading.Thread | None = None
        self._maker: TableMaker | None = None

    def load(self) -> bool:
        """Import the compiled reader (first time about a second from the cache); say whether it can be used."""
        with self._lock:
            if not self._tried:
                self._maker = self._import()
                self._tried = True
        return self._maker is not None

    def start(self) -> None:
        """Load in a thread, unless that was done before."""
        if not self._tried and self._thread is None:
            self._thread = threading.Thread(target=self.load, name=LOADING_THREAD, daemon=True)
            self._thread.start()

    @property
    def maker(self) -> TableMaker | None:
        """Makes compiled tables; None as long as, or because, the compiled reader is not there."""
        return self._maker

    @property
    def settled(self) -> bool:
        """Whether it is known if the compiled reader can be used."""
        return self._tried

    def _import(self) -> TableMaker | None:
        try:
            maker: TableMaker = import_module(self._module).CompiledTable
        except (ImportError, RuntimeError, OSError) as error:
            _log.warning("lines are read without the compiled kernel: %s", error)
            return None
        return maker


LOADER = Loader()


class Table:
    """A table that begins as the twin and turns into the compiled reader as soon as that is loaded; see LineTable.

    Args:
        rules: the dialect's rules.
        loader: where the compiled reader comes from.
    """

    def __init__(self, rules: ScanRules, loader: Loader = LOADER) -> None:
        self._rules = rules
        self._loader = loader
        self._twin: TwinTable | None = TwinTable(rules)
        self._table: LineTable = self._twin
        loader.start()

    def __len__(self) -> int:
        return len(self._table)

    @property
    def compiled(self) -> bool:
        """Whether the compiled reader is at work."""
        return self._twin is None

    @property
    def current(self) -> LineTable:
        """The table to scan with; take it anew for every buffer."""
        maker = self._loader.maker
        if self._twin is not None and maker is not None:
            self._table = maker(self._rules)
            for metric, tags, ref in self._twin.items():
                self._table.add(metric, tags, ref)
            self._twin = None
        return self._table
