"""The published JSON Schema of AsyncAPI documents, fetched once into the cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

SPECS_VERSION = "6.11.1"
CACHE = Path(__file__).parents[2] / ".cache" / f"asyncapi-specs-{SPECS_VERSION}"
DOWNLOAD_SECONDS_MAX = 120


def published_schema(asyncapi_version: str) -> dict[str, Any]:
    """The schema of a version's documents; the test is skipped without it, or fails if `C360_REQUIRE_STACK=1`."""
    if not CACHE.is_dir():
        try:
            _fetch()
        except (OSError, subprocess.SubprocessError) as error:
            missing = f"npm could not fetch AsyncAPI's schemas: {error}"
            if os.environ.get("C360_REQUIRE_STACK") == "1":
                pytest.fail(f"C360_REQUIRE_STACK=1, but {missing}")
            pytest.skip(missing)
    schema: dict[str, Any] = json.loads((CACHE / f"schemas/{asyncapi_version}-without-$id.json").read_text())
    return schema


def _fetch() -> None:
    if shutil.which("npm") is None:
        raise FileNotFoundError("there is no npm")
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"@asyncapi/specs@{SPECS_VERSION}"]
        subprocess.run(command, check=True, capture_output=True, timeout=DOWNLOAD_SECONDS_MAX)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        if not CACHE.is_dir():  # else another run was faster
            (Path(folder) / "package").rename(CACHE)
