"""Builds the client programs once into .cache/clients: one directory a language, named after the digest of its sources.

Only what a machine cannot have (a command, a registry that does not answer) is `Unavailable`; a program that does not
compile is an error.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from compat_tests.process import ROOT

SOURCES = ROOT / "compat_tests" / "clients"
CACHE = ROOT / ".cache" / "clients"
GOCODE = Path("/usr/share/gocode")
"""Where Debian keeps the sources of Go libraries."""
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


class Unavailable(Exception):
    """A client that cannot be had on this machine; the text says why."""


def need(command: str, package: str) -> str:
    """Return where a command is.

    Raises:
        Unavailable: it is not installed.
    """
    found = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(f"needs the command {command} (Debian package {package})")
    return found


def java() -> str:
    """Return the class path of the compiled Java programs and the clients they drive."""
    home = built("java", _build_java)
    return f"{home / 'classes'}:{home / 'lib'}/*"


def node() -> Path:
    """Return the directory that holds the node programs and their node_modules."""
    return built("node", _build_node)


def go() -> Path:
    """Return the directory of the Go programs that come from the module proxy."""
    return built("go", _build_go)


def go_debian() -> Path:
    """Return the directory of the Go programs whose client Debian packages as sources."""
    return built("go-debian", _build_go_debian)


def python(name: str, *requirements: str) -> Path:
    """Return a directory with a Python client and what it needs, apart from other clients of the same module name."""

    def build(home: Path) -> None:
        _fetch([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-t", home, *requirements])

    return _made(CACHE / f"python-{name}-{_digest(' '.join(requirements).encode())}", build)


def built(language: str, build: Callable[[Path], None]) -> Path:
    """Return the directory of a language's programs, building it unless these very sources were built before.

    Raises:
        Unavailable: a tool is missing, or a registry does not answer.
        RuntimeError: a program does not compile.
    """
    files = sorted(path for path in (SOURCES / language).rglob("*") if path.is_file())
    return _made(CACHE / f"{language}-{_digest(*(path.read_bytes() for path in files))}", build)


def _digest(*contents: bytes) -> str:
    sha = hashlib.sha256()
    for content in contents:
        sha.update(b"%d:" % len(content) + content)
    return sha.hexdigest()[:12]


def _made(home: Path, build: Callable[[Path], None]) -> Path:
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="build.", dir=CACHE))
        try:
            build(work)
            if not home.exists():  # another process may have been first
                work.rename(home)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return home


def _build_java(home: Path) -> None:
    maven, javac = need("mvn", "maven"), need("javac", "openjdk-17-jdk-headless")
    sources = SOURCES / "java"
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={home / 'lib'}"]
    _fetch([maven, "-B", "-q", "-f", sources / "pom.xml", COPY, *options])
    programs = sorted(sources.glob("*.java"))
    _compile([javac, "-Xlint:none", "-cp", f"{home / 'lib'}/*", "-d", home / "classes", *programs])


def _build_node(home: Path) -> None:
    need("node", "nodejs")
    npm = need("npm", "npm")
    shutil.copytree(SOURCES / "node", home, dirs_exist_ok=True)
    _fetch([npm, "install", "--no-package-lock", "--ignore-scripts", "--omit=optional", "--no-audit"], cwd=home)


def _build_go(home: Path) -> None:
    command = need("go", "golang")
    sources = SOURCES / "go"
    environment = _go_environment()
    _check_go_version(command, sources / "go.mod", environment)
    _fetch([command, "list", "-deps", "./..."], cwd=sources, env=environment)
    _compile([command, "build", "-o", f"{home}/", "./..."], cwd=sources, env={**environment, "GOPROXY": "off"})


def _build_go_debian(home: Path) -> None:
    command = need("go", "golang")
    library = GOCODE / "src/github.com/bluebreezecf/opentsdb-goclient"
    if not library.exists():
        raise Unavailable("needs the Debian package golang-github-bluebreezecf-opentsdb-goclient-dev")
    environment = {**_go_environment(), "GO111MODULE": "off", "GOPATH": str(GOCODE), "GOFLAGS": "-buildvcs=false"}
    for program in sorted((SOURCES / "go-debian").glob("*.go")):
        _compile([command, "build", "-o", home / program.stem, program], env=environment)


def _go_environment() -> dict[str, str]:
    cache = {"GOMODCACHE": str(CACHE / "go-modules"), "GOCACHE": str(CACHE / "go-objects")}
    return {**cache, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false", "GOWORK": "off"}


def _check_go_version(command: str, module: Path, environment: Mapping[str, str]) -> None:
    """Raise Unavailable when the machine's Go is older than the clients want: no other is fetched."""
    wanted = re.search(r"^go ([\d.]+)", module.read_text(), re.MULTILINE)
    found = re.search(r"go([\d.]+)", _run([command, "version"], env=environment).stdout)
    if wanted and found and _version(found.group(1)) < _version(wanted.group(1)):
        raise Unavailable(f"needs Go {wanted.group(1)} or newer, not {found.group(1)}")


def _version(text: str) -> list[int]:
    return [int(part) for part in text.strip(".").split(".")]


def _run(
    command: list[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _fetch(command: list[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = _run(command, cwd, env)
    if done.returncode:
        tail = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise Unavailable(f"{Path(command[0]).name} cannot fetch it here: {tail}")


def _compile(command: list[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = _run(command, cwd, env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
