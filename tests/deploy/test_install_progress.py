"""What a first `make demo` shows while pip works: few lines, large downloads, and pip's own words if it fails."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

from deploy.install_progress import Progress
from tests.deploy.compose import ROOT


def shown(lines: list[str], *, total: int, live: bool, unpacked: tuple[int, ...] = ()) -> list[str]:
    found: list[str] = []
    progress = Progress(total, live, found.append)
    for line in lines:
        progress.line(line)
    for count in unpacked:
        progress.unpacked(count)
    return found


def test_without_a_terminal_every_tenth_package_has_a_line_and_so_have_large_downloads() -> None:
    lines = [f"Collecting package{number}==1.0 (from -r requirements.lock (line 1))\n" for number in range(25)]
    lines[12:12] = [
        "  Downloading small-1.0-py3-none-any.whl (130 kB)\n",
        "  Downloading https://files.example/chdb_core-26.1-cp311-manylinux_2_28_x86_64.whl (181.6 MB)\n",
        "  Using cached big-1.0-py3-none-any.whl (99.0 MB)\n",
    ]
    found = shown(lines, total=25, live=False, unpacked=(0, 4, 9, 13, 14, 25))
    assert found == [
        "  fetched 10 of 25 packages",
        "  fetching chdb_core, 182 MB",
        "  fetched 20 of 25 packages",
        "  unpacked 13 of 25 packages",
        "  unpacked 25 of 25 packages",
    ]


def test_in_a_terminal_every_package_is_shown() -> None:
    lines = [f"Collecting package{number}==1.0\n" for number in range(3)]
    assert len(shown(lines, total=3, live=True, unpacked=(0, 1, 1, 3))) == 5


def test_a_failure_is_pips_own(tmp_path: Path) -> None:
    """In an environment of its own, without a network."""
    venv.create(tmp_path / "venv", with_pip=True)
    lock = tmp_path / "requirements.lock"
    lock.write_text("no-such-package==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    done = subprocess.run(
        [
            tmp_path / "venv" / "bin" / "python", ROOT / "deploy" / "install_progress.py", lock,
            "pip", "install", "--no-index", "--require-hashes", "-r", lock,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No matching distribution found for no-such-package==1.0" in done.stderr
