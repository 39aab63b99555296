"""What recovery says of a journal that does not read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from amondawa.errors import Corrupt
from amondawa.ingest import entry
from amondawa.ingest.recovery import Recovery
from amondawa.ingest.spool import Record

NOTHING = entry.encode_mark(entry.MarkEntry(next_segment=8))


class Segments:
    """A store that has a journal and nothing else."""

    def __init__(self, *payloads: bytes) -> None:
        self.payloads = payloads

    def journal_read(self, segment: int) -> Iterator[bytes]:
        return iter(self.payloads)


def recovery(*payloads: bytes) -> Recovery:
    unused = cast(Any, None)
    return Recovery(cast(Any, Segments(*payloads)), unused, unused, unused, unused)


def damaged(payload: bytes) -> bytes:
    wrong = np.frombuffer(payload, np.uint8).copy()
    wrong[-1] ^= 1
    return wrong.tobytes()


@pytest.mark.parametrize("wrong", [damaged(NOTHING), NOTHING[:5], b"", b"AMR1" + NOTHING])
def test_a_damaged_entry_is_named_by_its_number_and_segment(wrong: bytes) -> None:
    with pytest.raises(Corrupt, match=r"entry 3 of the journal's segment 7 is damaged: .+"):
        recovery(NOTHING, NOTHING, wrong, NOTHING).replay(7, cast(Any, None))


def test_a_damaged_entry_of_the_spool_is_named_by_its_number_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = {0: NOTHING, 1: damaged(NOTHING)}
    monkeypatch.setattr(Record, "payload", property(lambda record: payloads[record.start]))
    records = [Record(255, start, start + 1, 0, b"") for start in payloads]
    with pytest.raises(Corrupt, match=r"entry 2 of the spool's file 00000000000000ff\.spool is damaged: .+"):
        recovery().replay_spool(records, cast(Any, None))
