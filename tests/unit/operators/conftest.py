"""What the tests of steps share: each begins in a process in which nothing has failed and nobody wishes to stop."""

from __future__ import annotations

import threading

import pytest

from c360_stream.operators import stop


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "_failures", [])
    monkeypatch.setattr(stop, "_stop", threading.Event())
    monkeypatch.setattr(stop, "_given_up", threading.Event())
