"""DynamoDB Local, Amazon's own emulator, as a real process: fetched once with Maven, started on a free loopback port."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compat_tests.process import HOST, ROOT
from tests.ports import free_port

VERSION = "2.6.1"
CACHE = ROOT / ".cache" / "dynamodb-local" / VERSION
"""`lib` holds the jars, `native` SQLite's library for Java; complete when it exists at all."""
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true"}
"""DynamoDB Local takes any key of letters and digits."""

_ARM_LIBRARY = ("io.github.ganadist.sqlite4java", "libsqlite4java-linux-aarch64", "1.0.392", "so")
_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>dynamodb-local</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""


def missing_tool() -> str | None:
    """Return why DynamoDB Local cannot be started here; None when it can."""
    for command, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(command) is None and not (command == "mvn" and CACHE.exists()):
            return f"DynamoDB Local needs the command {command} (Debian package {package})"
    return None


def fetch() -> Path:
    """Return the directory of the jars, filling it at the first call.

    Raises:
        RuntimeError: Maven cannot fetch them.
    """
    if not CACHE.exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="fetch.", dir=CACHE.parent))
        try:
            _fetch_to(work)
            if not CACHE.exists():  # another process may have been first
                work.rename(CACHE)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return CACHE


def _fetch_to(work: Path) -> None:
    artifacts = [("com.amazonaws", "DynamoDBLocal", VERSION, "jar")]
    if platform.machine() in ("aarch64", "arm64"):
        artifacts.append(_ARM_LIBRARY)
    (work / "pom.xml").write_text(_POM.format(dependencies="".join(map(_dependency, artifacts))))
    _maven(work, "-DincludeScope=runtime", f"-DoutputDirectory={work / 'lib'}", "-DexcludeTypes=so,dll,dylib")
    _maven(work, "-DincludeTypes=so", "-Dmdep.stripVersion=true", f"-DoutputDirectory={work / 'native'}")


def _dependency(artifact: tuple[str, str, str, str]) -> str:
    names = ("groupId", "artifactId", "version", "type")
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, artifact, strict=True))
    return f"<dependency>{fields}</dependency>"


def _maven(work: Path, *options: str) -> None:
    command = ["mvn", "-B", "-q", "-f", str(work / "pom.xml"), COPY, *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch DynamoDB Local:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


@contextmanager
def dynamodb_local(heap: str = "512m") -> Iterator[str]:
    """Run DynamoDB Local in memory; yield its URL.

    Raises:
        RuntimeError: it cannot be fetched, or it ended.
        TimeoutError: it does not answer in time.
    """
    home = fetch()
    port = free_port()
    java = ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", f"-Dsqlite4java.library.path={home / 'native'}"]
    quiet = ["-Dorg.eclipse.jetty.LEVEL=WARN", "-cp", str(home / "lib" / "*")]
    main = ["com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-port", str(port), "-inMemory", "-sharedDb"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*java, *quiet, *main, "-disableTelemetry"],
            env={**os.environ, **CREDENTIALS},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_it_answers(process, port)
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"DynamoDB Local ended with status {process.returncode}")
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=2.0).close()
        except urllib.error.HTTPError as error:  # an unsigned request is refused: it answers
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"DynamoDB Local did not answer within {timeout_s} s")
