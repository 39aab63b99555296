"""`amondawa package`: a bundle that Elastic Beanstalk's Python platform (Amazon Linux 2023) deploys as it is."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amondawa.errors import ConfigError
from amondawa.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parent.parent
FILES = ("application.py", "Procfile", "pyproject.toml", "README.md", "LICENSE")
FOLDERS = (".platform", "amondawa", "bin", "config", "docs")
ENVIRONMENT = ".ebextensions/environment.config"
_UNWANTED = {"__pycache__", ".DS_Store"}
_DATE = (1980, 1, 1, 0, 0, 0)  # one content makes one file, whenever it is packed


@click.command()
@click.option("--output", metavar="FILE", default="amondawa.zip", show_default=True, help="Where to write the bundle.")
def package(output: str) -> None:
    """Pack the gateway for Elastic Beanstalk: sources, pinned requirements, Procfile, environment, limits of its proxy."""
    settings = read_settings({}, os.environ)
    if not (ROOT / "Procfile").exists():
        raise ConfigError(f"{ROOT} is not a checkout of Amondawa: there is no Procfile to pack")
    target = Path(output)
    partial = target.with_name(target.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as bundle:
            count = sum(_add(bundle, *entry) for entry in _entries(settings))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {target}: {error.strerror}") from error
    click.echo(f"{target}: {count} files for table space {settings.table_space} in {settings.region}")


def _add(bundle: zipfile.ZipFile, name: str, content: bytes, executable: bool) -> int:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (0o100755 if executable else 0o100644) << 16
    bundle.writestr(info, content)
    return 1


def _entries(settings: Settings) -> Iterator[tuple[str, bytes, bool]]:
    """Yield (name, content, whether it is a command) of all files of the bundle."""
    yield "requirements.txt", "".join(f"{pin}\n" for pin in pinned_requirements("amondawa")).encode(), False
    yield ENVIRONMENT, environment_config((ROOT / ENVIRONMENT).read_text(), settings).encode(), False
    for path in _sources():
        yield path.relative_to(ROOT).as_posix(), path.read_bytes(), os.access(path, os.X_OK)


def _sources() -> Iterable[Path]:
    for name in FILES:
        if (ROOT / name).exists():
            yield ROOT / name
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not _UNWANTED & set(path.parts) and path.suffix != ".pyc":
                yield path


def environment_config(text: str, settings: Settings) -> str:
    """Return the environment file with the settings' table space and region in place of its own."""
    for variable, value in (("AMDW_TABLE_SPACE", settings.table_space), ("AMDW_REGION", settings.region)):
        text = re.sub(rf"(?m)^(\s*{variable}:).*$", lambda found, value=value: f"{found[1]} {value}", text)  # type: ignore[misc]
    return text


def pinned_requirements(name: str) -> list[str]:
    """Return `name==version` of everything that a distribution needs here, directly or not, sorted.

    Raises:
        PackageNotFoundError: something is not installed.
    """
    pins: dict[str, str] = {}
    waiting = [(name, frozenset[str]())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        found = distribution(one[0])
        if one[0] != name:
            pins[canonicalize_name(one[0])] = found.version
        waiting += [
            (canonicalize_name(needed.name), frozenset(needed.extras))
            for needed in map(Requirement, found.requires or ())
            if _applies(needed, one[1])
        ]
    return [f"{pinned}=={version}" for pinned, version in sorted(pins.items())]


def _applies(needed: Requirement, extras: frozenset[str]) -> bool:
    """Say whether a requirement counts here for any of the extras asked for, or for none."""
    marker = needed.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras)))
