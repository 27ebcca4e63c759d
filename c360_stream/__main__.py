"""`c360`, which is also `python -m c360_stream`: hears what asks it to end before anything else is imported."""

from __future__ import annotations

import os
import signal
import sys
import threading


def main() -> None:
    """Entry point of `c360`.

    `c360 run` hears SIGTERM and SIGINT itself, once it has come so far. The other commands leave them to their
    defaults; but process 1, which a container's command is, has no default for SIGTERM: it would do nothing.
    """
    run, process_1 = _is_run(), os.getpid() == 1
    defaults = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    if process_1 and not run:
        threading.Thread(target=_listen, args=(_wakeups(),), name="SIGTERM", daemon=True).start()
    from c360_stream.cli.main import main as command_line

    if not run:
        signal.signal(signal.SIGINT, defaults[signal.SIGINT])
        if not process_1:
            signal.signal(signal.SIGTERM, defaults[signal.SIGTERM])
    command_line()


def _end(number: int, frame: object) -> None:
    """End at once: nothing is open that has to be put in order, and an import must not see an exception."""
    os._exit(0 if _is_run() else 128 + number)


def _is_run() -> bool:
    """Whether the command is `run`: all other words may be values of others."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "") == "run"


def _wakeups() -> int:
    """A descriptor from which the numbers of signals can be read as they come."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


def _listen(wakeups: int) -> None:
    """Act although the main thread is in C code, unless a command has taken a handler of its own."""
    while numbers := os.read(wakeups, 64):
        if signal.SIGTERM in numbers and signal.getsignal(signal.SIGTERM) is _end:
            _end(signal.SIGTERM, None)


if __name__ == "__main__":
    main()
