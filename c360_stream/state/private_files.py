"""What others on this machine shall not read: directories of mode 0700 and files of mode 0600, whatever the umask."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from c360_stream.errors import ConfigurationError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
_OTHERS_WRITE = 0o002


def make_private_directory(directory: Path, what: str = "directory") -> None:
    """Make a directory, and those above it, if it is absent; then `keep_private`.

    Raises
    ------
    ConfigurationError
        As `keep_private`.
    OSError
        If it cannot be made.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    keep_private(directory, what)


def keep_private(path: Path, what: str = "directory") -> None:
    """Take from others the right to look into a directory, or to read a file.

    One that belongs to another user, as a mounted volume may, is left as it is.

    Parameters
    ----------
    what
        What messages call it.

    Raises
    ------
    ConfigurationError
        If it belongs to another user, and everybody may write to it.
    OSError
        If there is none.
    """
    try:
        path.chmod(DIRECTORY_MODE if path.is_dir() else FILE_MODE)
    except PermissionError:
        if path.stat().st_mode & _OTHERS_WRITE:
            raise ConfigurationError(
                f"{what} {path} belongs to another user, and everybody may write to it",
                "make it this user's own, or take that right away: chmod o-w",
            ) from None


def open_private(path: Path, mode: str, *, buffering: int = -1) -> IO[Any]:
    """Open a file as `open` does; one that this makes, or that is this user's, nobody else can read.

    Raises
    ------
    OSError
        As `open`.
    """
    file = open(path, mode, buffering, opener=_private_opener)  # noqa: SIM115 - has an opener; the caller closes
    with suppress(PermissionError):  # it is somebody else's
        os.fchmod(file.fileno(), FILE_MODE)
    return file


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)
