from __future__ import annotations

import subprocess
import sys

import pytest

from amondawa import allocator

# in a process of its own: the settings last as long as the process
PROGRAM = "from amondawa.allocator import settle_allocator; print(settle_allocator())"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_the_allocator_takes_the_wishes_on_linux() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.settle_allocator()
