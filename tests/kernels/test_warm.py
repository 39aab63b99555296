from __future__ import annotations

import pytest

from amondawa.kernels import warm


def test_warming_compiles_every_kernel() -> None:
    assert warm.warm() == []
    assert warm.main() == 0


def test_what_cannot_be_compiled_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(warm, "warm", lambda: ["amondawa.kernels.x: no place for a cache"])
    assert warm.main() == 1
    assert "no place for a cache" in capsys.readouterr().err
