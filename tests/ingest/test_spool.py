"""The spool's files: order, limits, what a crash leaves."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amondawa.errors import ConfigError, Corrupt, StorageFull, StoreError
from amondawa.ingest.spool import Spool

LIMIT_BYTES = 1_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    one = opened(tmp_path / "spool")
    yield one
    one.close()


def opened(directory: Path, limit_bytes: int = LIMIT_BYTES, file_bytes: int = 200) -> Spool:
    spool = Spool(directory, limit_bytes, file_bytes)
    spool.open()
    return spool


def add(spool: Spool, *payloads: bytes) -> list[bool]:
    """Append payloads; return which of them began a file."""
    began: list[bool] = []
    for number, payload in enumerate(payloads):

        def encode(fresh: bool, payload: bytes = payload) -> bytes:
            began.append(fresh)
            return payload

        spool.append(encode, 1_000 + number)
    return began


def noise(number: int, size: int = 80) -> bytes:
    """Return bytes that do not pack."""
    return bytes((number * 7919 + at * at * 31 + at * 17) % 251 for at in range(size))


def drained(spool: Spool) -> list[bytes]:
    """Release everything; return it."""
    found = []
    while (record := spool.oldest()) is not None:
        found.append(record.payload)
        assert spool.release(record) is (spool.entries == 0)
    return found


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


def test_entries_come_out_in_order_and_their_files_go(spool: Spool, tmp_path: Path) -> None:
    payloads = [noise(number) for number in range(20)]
    add(spool, *payloads)
    assert (spool.entries, spool.oldest_us) == (20, 1_000)
    assert len(files(tmp_path / "spool")) > 5
    assert spool.size_bytes == sum(path.stat().st_size for path in files(tmp_path / "spool"))
    assert [record.payload for record in spool.replay()] == payloads
    assert drained(spool) == payloads
    assert files(tmp_path / "spool") == []
    assert (spool.entries, spool.size_bytes, spool.oldest_us) == (0, 0, 0)


def test_an_entry_is_told_when_it_is_the_first_of_its_file(spool: Spool) -> None:
    began = add(spool, *(noise(number) for number in range(7)))
    firsts = [record.start == 0 for record in spool.replay()]
    assert began == firsts
    drained(spool)
    assert add(spool, b"x", b"y") == [True, False]


def test_all_is_there_after_a_restart_and_new_entries_begin_a_file(spool: Spool, tmp_path: Path) -> None:
    add(spool, *(noise(number) for number in range(5)))
    first = spool.oldest()
    assert first is not None
    spool.release(first)
    spool.close()
    again = opened(tmp_path / "spool")
    kept = [record.payload for record in again.replay()]
    assert kept in ([noise(number) for number in range(5)], [noise(number) for number in range(1, 5)])
    assert add(again, b"new") == [True]
    assert drained(again) == [*kept, b"new"]
    again.close()


@given(st.integers(0, 400), st.binary(max_size=60))
def test_a_torn_tail_is_cut_off_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, kept: int, tail: bytes
) -> None:
    directory = tmp_path_factory.mktemp("torn")
    spool = opened(directory, file_bytes=10**6)
    add(spool, *(noise(number) for number in range(3)))
    ends = [record.end for record in spool.replay()]
    spool.close()
    (path,) = files(directory)
    path.write_bytes(path.read_bytes()[:kept] + (tail if kept < ends[-1] else b""))
    again = opened(directory)
    whole = sum(end <= kept for end in ends)
    assert [record.payload for record in again.replay()][:whole] == [noise(number) for number in range(whole)]
    assert again.entries in (whole, whole + 1)  # one more when the tail happens to be what was cut
    assert path.exists() is (again.entries > 0)
    again.close()


def test_a_broken_entry_that_others_follow_is_reported(spool: Spool, tmp_path: Path) -> None:
    spool.close()
    whole = opened(tmp_path / "whole", file_bytes=10**6)
    add(whole, *(noise(number) for number in range(3)))
    whole.close()
    (path,) = files(tmp_path / "whole")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=r"the entry at 0 of the spool file .* does not read back; others follow it"):
        opened(tmp_path / "whole")


def test_past_its_limit_it_takes_nothing_until_a_file_is_gone(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool", limit_bytes=1_600)
    with pytest.raises(StorageFull, match=r"1600 bytes \(AMDW_SPOOL_LIMIT\)"):
        add(spool, *(noise(number) for number in range(100)))
    assert spool.full
    assert spool.size_bytes <= 1_600
    count = spool.entries
    assert count > 5
    while spool.full:
        record = spool.oldest()
        assert record is not None
        spool.release(record)
    add(spool, noise(count))
    assert drained(spool)[-1] == noise(count)
    spool.close()


@pytest.mark.parametrize(("number", "raised"), [(errno.ENOSPC, StorageFull), (errno.EIO, StoreError)])
def test_a_failed_write_leaves_nothing_behind(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception], tmp_path: Path
) -> None:
    add(spool, b"before")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(raised):
            add(spool, b"lost")
        with pytest.raises(raised):
            add(spool, b"lost too")
    assert add(spool, b"after") == [True]
    spool.close()
    again = opened(tmp_path / "spool")
    assert drained(again) == [b"before", b"after"]
    again.close()


def test_a_file_that_cannot_be_removed_is_removed_by_the_next_try(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add(spool, b"only")
    record = spool.oldest()
    assert record is not None

    def fail(_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr("amondawa.ingest.spool.sync_directory", fail)
        with pytest.raises(StoreError, match="cannot be removed"):
            spool.release(record)
    assert spool.entries == 1
    assert spool.release(record)
    assert files(tmp_path / "spool") == []


def test_one_process_uses_a_directory(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in use by another process"):
        opened(tmp_path / "spool")


def test_a_directory_that_cannot_be_made_is_said_with_what_helps(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be used .*--data.*AMDW_ACK=stored"):
        opened(tmp_path / "file" / "spool")
