"""What native code writes, and where Python stood when it crashes."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from c360_stream.errors import C360Error
from c360_stream.logs.events import CRASH_OUTPUT_FOUND

CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
TEXT_BYTES_MAX = 1024 * 1024
_NO_NEWS = re.compile(r"^worker \d+:\terror connecting to worker .*; retrying\n", re.MULTILINE)


@contextmanager
def native_output(keep_in: Path | None) -> Iterator[Callable[[], str]]:
    """Keep what native code writes to stdout and stderr from them, unless the run fails in a way not understood.

    The engine reports an error that a step raised as a panic with a hundred lines of backtrace. A crash leaves the
    stacks of Python's threads on stderr all the same, and what was written by then in a file, for `log_crash_output`.

    Parameters
    ----------
    keep_in
        That file, which is made anew and gone afterwards. None: a crash takes what was written with it.

    Yields
    ------
    What gives the text so far.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    python_stderr, python_hook = sys.stderr, sys.excepthook
    with _open(keep_in) as native, os.fdopen(os.dup(kept[1]), "w", buffering=1) as ours:
        for number in (1, 2):
            os.dup2(native.fileno(), number)
        sys.stderr = ours
        # The engine shows by this hook what a thread of its own ended with.
        sys.excepthook = lambda kind, error, trace: native.write(f"{kind.__name__}: {error}\n".encode())
        enable_faulthandler()
        try:
            yield lambda: _read(native)
        except C360Error:
            python_hook = _show_nothing  # threads of the engine may still have to end
            raise
        except BaseException:
            os.write(kept[1], _read(native).encode())
            raise
        finally:
            sys.stderr, sys.excepthook = python_stderr, python_hook
            for number, original in zip((1, 2), kept, strict=True):
                os.dup2(original, number)
                os.close(original)
            enable_faulthandler()
            if keep_in is not None:
                with suppress(OSError):
                    keep_in.unlink()


def enable_faulthandler() -> None:
    """Have a crash of native code write the stacks of Python's threads to what is stderr now.

    The interpreter has one such handler a process, and knows whether it is enabled: this module need not.
    """
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, or it is none of the system's
        descriptor = 2
    faulthandler.enable(descriptor)


def restore_faulthandler() -> None:
    """Do so even though a library has just taken the handlers of such signals for itself.

    chDB does, when it is opened: its own write nothing, and keep a process that has crashed for five minutes.
    """
    if faulthandler.is_enabled():
        faulthandler.disable()
        enable_faulthandler()


def log_crash_output(kept_in: Path, process: int) -> None:
    """Log what native code had written in a process that came to no end of its own, and forget it."""
    with suppress(OSError):
        with kept_in.open("rb") as kept:
            text = _NO_NEWS.sub("", _end_of(kept))
        if text.strip():
            CRASH_OUTPUT_FOUND.log(process=process, output=text)
        kept_in.unlink()


def _open(keep_in: Path | None) -> IO[bytes]:
    if keep_in is not None:
        with suppress(OSError):  # what is wrong with the directory is reported where it is used
            file = os.open(keep_in, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
            return os.fdopen(file, "a+b")
    return tempfile.TemporaryFile("a+b")


def _show_nothing(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Take the place of the hook that shows an exception: the one that matters is shown elsewhere."""


def _read(native: IO[bytes]) -> str:
    native.flush()
    return _end_of(native)


def _end_of(file: IO[bytes]) -> str:
    """The last words: hours of a wait may have filled what comes before."""
    begin = max(0, os.fstat(file.fileno()).st_size - TEXT_BYTES_MAX)
    return os.pread(file.fileno(), TEXT_BYTES_MAX, begin).decode(errors="replace")
