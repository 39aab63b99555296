"""The lease on a journal shard: one process at a time writes to it, whatever two gateways of one id were told.

The holder renews an item; who wants it waits until the item has not changed for the lease's length by its own clock (no two
clocks are compared), or takes it at once from a process of this machine that is gone. A holder whose renewals fail stops
acknowledging before another may take over.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from amondawa.errors import AmondawaError, ConfigError, Unavailable
from amondawa.store.base import Item
from amondawa.store.dynamodb.reader import Reader
from amondawa.store.dynamodb.writer import Writer

LEASE_S = 15.0
RENEWALS = 3
"""A lease is renewed this often in its length."""
FREE = b"{}"
LEASES = b"leases"

log = structlog.get_logger()


def process_identity(pid: int | str = "self") -> dict[str, str] | None:
    """Return what tells a process of this machine from any other; None where the system does not say, or it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return {
            "host": socket.gethostname(),
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "namespace": os.readlink(f"/proc/{pid}/ns/pid"),
            "pid": stat.partition(" ")[0],
            "started": stat.rpartition(")")[2].split()[19],
        }
    except OSError:
        return None


def _is_adopted(value: bytes | None) -> bool:
    return "adopting" in json.loads(value or FREE)


def is_gone(holder: dict[str, str]) -> bool:
    """Whether a holder is a process of this machine, in this container, that has ended."""
    own = process_identity()
    if own is None or any(holder.get(name) != own[name] for name in ("host", "boot", "namespace")):
        return False
    now = process_identity(holder.get("pid", ""))
    return now is None or now["started"] != holder.get("started")


class Lease:
    """The lease of one shard, renewed by a thread while it is held.

    Args:
        name: full name of the journal table.
        shard: whose lease it is.
        reader, writer: how the item is read and written.
        clock: monotonic seconds.
        length_s: how long a holder may go on after its last renewal.
        adopting: another gateway takes the shard, to bring its points home; the shard's own process waits for that.
    """

    def __init__(
        self,
        name: str,
        shard: str,
        reader: Reader,
        writer: Writer,
        clock: Callable[[], float],
        length_s: float = LEASE_S,
        *,
        adopting: bool = False,
    ) -> None:
        self._name = name
        self._shard = shard
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._length_s = length_s
        self._owner = {**(process_identity() or {}), "token": secrets.token_hex(8)}
        if adopting:
            self._owner["adopting"] = "yes"
        self._renewals = 0
        self._value = b""
        self._valid_until = 0.0
        self._stop = threading.Event()
        self._due = threading.Event()
        self._lost = False
        self._thread: threading.Thread | None = None

    # taking -----------------------------------------------------------------------------------------------------------

    def acquire(self) -> None:
        """Take the lease, waiting for its length when its holder may be gone, and keep it renewed.

        Raises:
            ConfigError: another process holds it.
        """
        seen, since = self._stored(), self._clock()
        while not self._free_to_take(seen, since) or not self._take(seen):
            self._stop.wait(self._length_s / 20)
            now = self._stored()
            if now != seen and now not in (None, FREE) and not _is_adopted(now):
                raise ConfigError(
                    f"gateway id {self._shard!r} is in use by {_shown(now)}; give each gateway another AMDW_GATEWAY_ID"
                )
            if now != seen:
                seen, since = now, self._clock()
        self._begin()

    def claim(self, seen: bytes) -> bool:
        """Take the lease in place of what was seen of a holder that is gone; say whether it is ours, then keep it renewed."""
        if not self._take(seen):
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        self._stop.clear()
        self._due.clear()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def _free_to_take(self, seen: bytes | None, since: float) -> bool:
        if seen in (None, FREE) or self._clock() - since > self._length_s:
            return True
        return is_gone(json.loads(seen or FREE))

    def _take(self, seen: bytes | None) -> bool:
        """Replace what was seen by our own; say whether it was still there."""
        self._renewals += 1
        value = json.dumps({**self._owner, "renewals": self._renewals}, separators=(",", ":")).encode()
        sent = self._clock()
        if not self._writer.put_if(self._name, Item(LEASES, self._shard.encode(), value), seen):
            return False
        self._value = value
        self._valid_until = sent + self._length_s
        return True

    def _stored(self) -> bytes | None:
        item = self._reader.get(self._name, [(LEASES, self._shard.encode())])[0]
        return None if item is None else item.value

    # holding ----------------------------------------------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Whether another process was seen to have taken the lease; it is not won back."""
        return self._lost

    def check(self) -> None:
        """Raise Unavailable when the lease may be another's by now, so that nothing is acknowledged any more."""
        if self._lost:
            raise Unavailable(
                f"the lease on journal shard {self._shard!r} could not be renewed: another process took it; "
                "this gateway starts again",
                retry_after_s=10,
            )
        if self._clock() >= self._valid_until:
            raise Unavailable(f"the lease on journal shard {self._shard!r} could not be renewed", retry_after_s=5)

    def _keep(self) -> None:
        """Renew until told to stop, or until another process has taken the lease (own thread)."""
        while True:
            self._due.wait(self._length_s / RENEWALS)
            self._due.clear()
            if self._stop.is_set():
                return
            try:
                if not self._renew():
                    return
            except AmondawaError as error:
                log.warning("the lease was not renewed", shard=self._shard, error=str(error))

    def _renew(self) -> bool:
        """Renew once; say whether the lease is still ours. A renewal that seemed to fail may have been carried out."""
        if self._take(self._value):
            return True
        stored = self._stored()
        if json.loads(stored or FREE).get("token") == self._owner["token"]:
            self._value = stored or FREE
            return self._take(self._value)
        self._valid_until, self._lost = 0.0, True
        log.error("another process took the lease", shard=self._shard, holder=_shown(stored))
        return False

    def hasten(self) -> None:
        """Renew now, because the service is back after a while in which nothing could be renewed."""
        self._due.set()

    def release(self) -> None:
        """Stop renewing and let the next process take the lease at once."""
        self._stop.set()
        self._due.set()
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        try:
            self._writer.put_if(self._name, Item(LEASES, self._shard.encode(), FREE), self._value)
        except AmondawaError as error:  # it runs out by itself
            log.warning("the lease was not released", shard=self._shard, error=str(error))
        self._valid_until = 0.0


def _shown(value: bytes | None) -> str:
    """Return a holder's host and process for a message."""
    holder = json.loads(value or FREE)
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'another host')}"
