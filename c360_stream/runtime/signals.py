"""SIGTERM and SIGINT while a flow starts, runs, waits or ends: handled even while the main thread is in C code.

Python runs its signal handlers in the main thread, between two of its instructions, and librdkafka or the engine may
keep that thread for minutes. So the handlers do nothing; a thread reads the file descriptor that CPython's own
C-level handler writes to, and acts. It ends the process itself if the flow does not.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait

from c360_stream.logs.events import STOP_ASKED, STOP_FORCED
from c360_stream.logs.lines import line
from c360_stream.operators.shutdown import StopRequested

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS_MAX = 4.0
"""How long a flow may take to stop before its process is ended: at the next start it repeats what was under way."""
INTERRUPT_SECONDS = 1.0
"""After which the engine of a cluster is interrupted. A source notices a stop when it is asked for more, which the
engine does not do while it waits for the snapshot of another process; that one may have stopped before it."""
_INTERRUPT = signal.SIGUSR2
PARENT_VARIABLE = "C360_PARENT_FD"
"""Set in the processes of a cluster: a pipe of which the parent holds the other end until they shall stop."""


class Listener:
    """Listens for what asks this process to stop. Get one from `listening`."""

    def __init__(self) -> None:
        self.stop_requested = False
        """Whether a stop was asked for."""
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._end: Callable[[], None] | None = None
        self._ends_at: float | None = None
        self._interrupts_at: float | None = None
        self._in_engine = False
        self._parent = _parent_pipe()
        self._stderr = os.dup(2)
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._handlers_before = {number: signal.signal(number, _left_to_the_thread) for number in STOP_SIGNALS}
        if self._parent is not None:
            # The terminal sends Ctrl-C to all processes; the parent gets it and stops its children.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()

    def begun(
        self, stop: Callable[[], None], end: Callable[[], None] | None = None, *, seconds_max: float = STOP_SECONDS_MAX
    ) -> None:
        """Note that from now on there is something to stop: until then, a stop ends the process with exit code 0.

        Parameters
        ----------
        stop
            Asks the flow to stop; called once, from another thread.
        end
            Called before the process is ended without waiting any longer.
        seconds_max
            How long the flow may take to stop.
        """
        with self._lock:
            self._stop, self._end, self._seconds_max = stop, end, seconds_max

    @contextmanager
    def engine_of_cluster(self) -> Iterator[None]:
        """Have the main thread wait for the engine's threads: `StopRequested` ends that wait if a stop takes long."""

        def interrupt(number: int, frame: object) -> None:
            if self._in_engine:
                self._in_engine = False
                raise StopRequested

        before = signal.signal(_INTERRUPT, interrupt)
        self._in_engine = True
        try:
            yield
        finally:
            self._in_engine = False
            signal.signal(_INTERRUPT, before)

    def close(self) -> None:
        """Leave signals to whom they were left before; not after a stop, which shall end within its time."""
        with self._lock:
            if self.stop_requested:
                return
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
        os.close(self._stderr)

    def _listen(self) -> None:
        while True:
            due = self._ends_at if self._interrupts_at is None else self._interrupts_at
            seconds = None if due is None else max(0.0, due - time.monotonic())
            sources = [self._reading] if self._parent is None else [self._reading, self._parent]
            # Not `select`, which refuses descriptors past 1,023: many partitions, or chDB, open as many.
            ready = wait(sources, seconds)
            if not ready and self._interrupts_at is not None:
                self._interrupts_at = None
                if self._in_engine:
                    interrupt_main(_INTERRUPT)
            elif not ready:
                self._end_now(0, line(STOP_FORCED).encode())
            if self._parent in ready:
                self._parent = None  # nothing is ever written to it: this is its end
                self._request_stop(None)
            if self._reading in ready:
                numbers = os.read(self._reading, 64)
                if not numbers:
                    return
                for number in numbers:
                    if number in STOP_SIGNALS:
                        self._request_stop(number)

    @staticmethod
    def _can_be_written(descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))

    def _request_stop(self, number: int | None) -> None:
        with self._lock:
            again, self.stop_requested = self.stop_requested, True
            stop = self._stop
        if stop is None:
            self._end_now(0, b"")
        elif not again:
            self._ends_at = time.monotonic() + self._seconds_max
            self._interrupts_at = time.monotonic() + min(INTERRUPT_SECONDS, self._seconds_max)
            stop()
            name = signal.Signals(number).name if number is not None else "the process that started this one"
            # Not in this thread: what reads stderr may have stopped to, and a stop must not wait for it.
            fields = {"signal": name, "seconds_max": self._seconds_max}
            threading.Thread(target=STOP_ASKED.log, kwargs=fields, name="stop", daemon=True).start()
        elif number is not None and PARENT_VARIABLE not in os.environ:
            # In a cluster the parent alone counts: a process manager may signal all of them, as the parent does.
            self._end_now(128 + number, b"")

    def _end_now(self, code: int, message: bytes) -> None:
        if self._end is not None:
            self._end()
        with suppress(OSError):
            if message and self._can_be_written(self._stderr):
                os.write(self._stderr, message)
        os._exit(code)


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen for signals as long as this lasts; not within another one. For the main thread.

    The first SIGTERM or SIGINT stops the flow cleanly, or ends the process if none has begun; a second one ends the
    process at once with exit code 128 + its number. In a process of a cluster, the end of the parent is as good
    as a signal.
    """
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()


def exit_stopped() -> None:
    """End this process with exit code 0, whatever threads still wait for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _left_to_the_thread(number: int, frame: object) -> None:
    """Take the place of the default, which would end the process."""


def _parent_pipe() -> int | None:
    number = os.environ.get(PARENT_VARIABLE)
    return int(number) if number else None
