"""A real server process on free loopback ports: start it, wait for it, measure it, end it or kill it."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.ports import HOST, free_ports

ROOT = Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
Address = tuple[str, int]


@dataclass(frozen=True)
class Ports:
    """One port a dialect."""

    http: int
    kairosdb: int
    opentsdb: int
    kairosdb_telnet: int

    @classmethod
    def free(cls) -> Ports:
        """Return ports that nothing listens on at this moment."""
        return cls(*free_ports(4))


class ServerProcess:
    """One server process on a data directory; may be started again after it ended.

    Args:
        data: its data directory; the log of every start is written beside it.
        env: settings to add, as AMDW_ variables; those of the caller's environment are left out.
        ports: where to listen; free ones when not given.
        file_size_limit_bytes: largest file the process may write (RLIMIT_FSIZE), None = no limit.
    """

    def __init__(
        self,
        data: Path,
        env: Mapping[str, str] | None = None,
        ports: Ports | None = None,
        file_size_limit_bytes: int | None = None,
    ):
        self.data = Path(data)
        self.env = dict(env or {})
        self.ports = ports or Ports.free()
        self.file_size_limit_bytes = file_size_limit_bytes
        self.log = self.data.with_name(self.data.name + ".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None

    @property
    def http(self) -> Address:
        """Where the native API, the web pages and the health checks answer."""
        return (HOST, self.ports.http)

    @property
    def kairosdb(self) -> Address:
        """Where KairosDB's API answers."""
        return (HOST, self.ports.kairosdb)

    @property
    def opentsdb(self) -> Address:
        """Where OpenTSDB's API and telnet lines answer."""
        return (HOST, self.ports.opentsdb)

    @property
    def kairosdb_telnet(self) -> Address:
        """Where KairosDB's telnet lines answer."""
        return (HOST, self.ports.kairosdb_telnet)

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when it was not started."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> ServerProcess:
        """Start the process and return at once; see `wait_ready`."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AMDW_")}
        environment.update(self.env, PYTHONPATH=str(ROOT))
        self._close_log()
        self._log_file = self.log.open("ab")
        self._process = subprocess.Popen(
            self._command(),
            env=environment,
            cwd=self.data.parent,
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
            preexec_fn=self._limit if self.file_size_limit_bytes is not None else None,
        )
        return self

    def wait_ready(self, timeout_s: float = 60.0) -> float:
        """Return the seconds that passed until the health check said ready.

        Raises:
            RuntimeError: the process ended.
            TimeoutError: it was not ready in time.
        """
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            if not self.alive:
                raise RuntimeError(f"the server ended with status {self._running().returncode}:\n{self.log_tail()}")
            if self._answers_ready():
                return time.monotonic() - began
            time.sleep(0.01)
        raise TimeoutError(f"the server was not ready within {timeout_s} s:\n{self.log_tail()}")

    def kill9(self) -> None:
        """End the process as a crash does, and wait until it is gone."""
        process = self._running()
        process.kill()
        process.wait()
        self._close_log()

    def terminate(self, timeout_s: float = 60.0) -> int:
        """Ask the process to end in order; return its exit status.

        Raises:
            TimeoutError: it did not end in time (it is killed then).
        """
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise TimeoutError(f"no orderly end within {timeout_s} s:\n{self.log_tail()}") from error
        finally:
            self._close_log()

    def wait_end(self, timeout_s: float = 60.0) -> int:
        """Wait until the process ends by itself; return its exit status. Raises subprocess.TimeoutExpired."""
        try:
            return self._running().wait(timeout_s)
        finally:
            self._close_log()

    def stop(self) -> None:
        """End the process when it still runs, however it takes it."""
        if self.alive:
            try:
                self.terminate(20.0)
            except TimeoutError as error:
                print(error, file=sys.stderr)
        self._close_log()

    def cpu_seconds(self) -> float:
        """Return user and system time of the process and its children so far, in s."""
        return sum(cpu_ticks(pid) for pid in process_tree(self.pid)) / TICKS_PER_SECOND

    def rss_bytes(self) -> int:
        """Return the resident memory of the process and its children."""
        return sum(status_bytes(pid, "VmRSS") for pid in process_tree(self.pid))

    def peak_rss_bytes(self) -> int:
        """Return the largest resident memory that the process ever had."""
        return status_bytes(self.pid, "VmHWM")

    def log_tail(self, lines: int = 30) -> str:
        """Return the last lines of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _command(self) -> list[str]:
        ports = {
            "--http": self.ports.http,
            "--kairosdb": self.ports.kairosdb,
            "--opentsdb": self.ports.opentsdb,
            "--kairosdb-telnet": self.ports.kairosdb_telnet,
        }
        command = [sys.executable, "-m", "amondawa", "--data", str(self.data)]
        for option, port in ports.items():
            command += [option, str(port)]
        return command

    def _limit(self) -> None:
        limit = self.file_size_limit_bytes or 0
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def _answers_ready(self) -> bool:
        connection = http.client.HTTPConnection(*self.http, timeout=2.0)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    def _close_log(self) -> None:
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None


def process_tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants that are alive."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from process_tree(int(child))


def cpu_ticks(pid: int) -> int:
    """Return utime + stime of a process and of its children that were waited for, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def status_bytes(pid: int, field: str) -> int:
    """Return a memory field of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0
