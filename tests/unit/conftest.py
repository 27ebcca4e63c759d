"""What the tests of commands share: a directory of their own and no settings from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from c360_stream.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("C360_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The embedded default, in the test's own directory."""
    return load_settings(log_dir=tmp_path / "log", metrics_address="127.0.0.1:0")
