"""The directions of imports and the places of libraries, as docs/architecture.md states them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "amondawa"

BELOW: dict[str, frozenset[str]] = {}
"""What each layer may import beside itself; filled below, lowest layer first."""


def _layer(name: str, *may_import: str) -> None:
    BELOW[name] = frozenset(may_import)


_BASE = ("errors", "model")
_ENGINE = (*_BASE, "settings", "kernels", "aggregate", "store", "index")
_layer("errors")
_layer("model", "errors")
_layer("settings", "errors")
_layer("kernels", *_BASE)
_layer("aggregate", *_BASE, "kernels")
_layer("store", *_BASE, "settings", "kernels")
_layer("index", *_BASE, "settings", "kernels", "store")
_layer("ingest", *_ENGINE)
_layer("query", *_ENGINE, "ingest")
_layer("auth", *_ENGINE)
_layer("client", "errors", "auth")
_layer("gateway", *_ENGINE, "ingest", "query", "auth")
_layer("telemetry", *_BASE)
_layer("allocator")
_layer("protocols", *_BASE, "settings", "kernels", "aggregate", "gateway", "auth")
_layer("listeners", "errors", "settings")
_layer("app", *BELOW)
_layer("cli", *BELOW)
_layer("__main__", "cli")

LIBRARIES: dict[str, tuple[str, ...]] = {
    "aiohttp": (
        "protocols/*/routes*.py",
        "protocols/http.py",
        "protocols/access.py",
        "client/*.py",
        "listeners/*.py",
        "app*.py",
    ),
    "marshmallow": ("protocols/*.py",),
    "pandas": (
        "client/frames.py",
        "aggregate/*.py",
    ),
    "pyarrow": ("client/parquet.py",),
    "boto3": ("store/dynamodb/*.py",),
    "botocore": ("store/dynamodb/*.py",),
    "numba": ("kernels/*.py",),
    "sqlite3": ("store/*.py",),
    "prometheus_client": ("telemetry.py",),
    "click": ("cli*.py",),
}
"""Where each library may be imported."""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path, run_time_only: bool = False) -> Iterator[str]:
    """Yield the dotted names that a file imports; names imported from a package count as its modules."""
    tree = ast.parse(path.read_text())
    skipped = {id(inner) for node in ast.walk(tree) if _type_checking(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if run_time_only and id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def layer_of(dotted: str) -> str:
    """Return the layer of `amondawa.x.y`: x, with every app_* and cli_* module in app and cli."""
    return re.sub(r"^(app|cli)_.*", r"\1", dotted.split(".")[1])


def inner_imports(path: Path) -> list[str]:
    return [name for name in imports(path) if name.startswith("amondawa.") and name != "amondawa.__version__"]


def own_name(path: Path) -> str:
    return ".".join(("amondawa", *path.relative_to(PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    if path.parent == PACKAGE and path.stem == "__init__":
        assert inner_imports(path) == []
        return
    layer = layer_of(own_name(path))
    wrong = [name for name in inner_imports(path) if layer_of(name) not in BELOW[layer] | {layer}]
    assert wrong == []


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(own_name(path)) for path in sources()} - {"__init__"} <= set(BELOW)


def test_no_modules_import_one_another_in_a_circle() -> None:
    modules = {own_name(path): path for path in sources()}
    graph = {name: _modules_named(inner_imports(path), modules) - {name} for name, path in modules.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def _modules_named(names: list[str], modules: Collection[str]) -> set[str]:
    """Return the modules that imported names, which may be of what is in a module, belong to."""
    return {name if name in modules else name.rpartition(".")[0] for name in names} & set(modules)


def test_protocols_never_import_one_another() -> None:
    wrong = []
    for path in (PACKAGE / "protocols").glob("*/**/*.py"):
        own = path.relative_to(PACKAGE / "protocols").parts[0]
        others = {p.name for p in (PACKAGE / "protocols").iterdir() if p.is_dir()} - {own}
        wrong += [(path.name, name) for name in inner_imports(path) if set(name.split(".")[2:3]) & others]
    assert wrong == []


def test_what_protocols_share_imports_no_protocol() -> None:
    dialects = {p.name for p in (PACKAGE / "protocols").iterdir() if p.is_dir()}
    wrong = [
        (path.name, name)
        for path in (PACKAGE / "protocols").glob("*.py")
        for name in inner_imports(path)
        if name.startswith("amondawa.protocols.") and name.split(".")[2] in dialects
    ]
    assert wrong == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_stays_in_its_place(library: str) -> None:
    wrong = []
    for path in sources():
        place = path.relative_to(PACKAGE).as_posix()
        used = any(name.split(".")[0] == library for name in imports(path, run_time_only=True))
        if used and not any(fnmatch(place, allowed) for allowed in LIBRARIES[library]):
            wrong.append(place)
    assert wrong == []


def test_no_module_is_called_by_a_word_that_says_nothing() -> None:
    names = {part for path in sources() for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not names & {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}


def test_no_file_ends_with_an_import() -> None:
    ends = [path.name for path in sources() if isinstance(_last_statement(path), ast.Import | ast.ImportFrom)]
    assert ends == []


def _last_statement(path: Path) -> ast.stmt | None:
    """Return the last statement of a file that has more than imports; None for others."""
    body = ast.parse(path.read_text()).body
    plain = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return body[-1] if len(plain) > 1 else None
