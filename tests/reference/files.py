"""Small worlds whose state goes into files as that of large ones does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

SMALL = {
    "c360_stream.state.backend.INLINE_BYTES_MAX": 0,
    "c360_stream.state.codec.BLOB_BYTES_MIN": 16,
    "c360_stream.state.chunk_store.CHUNK_BYTES": 512,
    "c360_stream.state.chunk_store.SEGMENT_BYTES_MAX": 8 * 1024,
    "c360_stream.state.chunk_store.SEGMENTS_MAX": 8,
}


@contextmanager
def keeping_in_files() -> Iterator[None]:
    """Let all state of this process go into files, in small pieces."""
    patches = [patch(name, value) for name, value in SMALL.items()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def of_processes(folder: Path) -> dict[str, str]:
    """Environment in which Python processes do so; `folder` is an empty one."""
    names = ((name.rpartition("."), value) for name, value in SMALL.items())
    lines = [f"import {module}; {module}.{name} = {value}" for (module, _, name), value in names]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
