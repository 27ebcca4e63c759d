"""Outbox: what a snapshot vouches for, numbered, until it has been published."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import Kept, fields
from c360_stream.state.layout import digest


class Chunk(NamedTuple):
    """Output of a snapshot, and its name: the store, and a number in it."""

    store: str
    sequence: int
    content: bytes


class Pulse:
    """Lets every partition of a sink publish what the last snapshot holds, though no records come."""


PULSE = Pulse()
PULSE_SECONDS = 0.2
"""How often the sources of a process send one: one of them for all."""


class UnfinishedOutboxes:
    """Outboxes of a run whose sink partitions the engine has closed, with chunks of the last snapshot in them."""

    def __init__(self) -> None:
        self._unfinished: list[Callable[[], None]] = []

    def add(self, finish: Callable[[], None]) -> None:
        """Have this called by `finish`."""
        self._unfinished.append(finish)

    def finish(self) -> None:
        """Publish what the last snapshot of a run that came to its end holds: call this once the engine returned."""
        while self._unfinished:
            self._unfinished.pop(0)()


class Outbox(Kept):
    """Chunks of output that wait: first for the snapshot that makes them durable, then to be published.

    A chunk is named by the store and a number that no other chunk of this sink partition ever has. It is published only
    once a snapshot holds it, so that a crash at any moment finds it again, under the same name and with the same bytes.
    Its consumer recognises the name. A chunk that no snapshot holds has been seen by nobody, and a crash makes it anew,
    perhaps cut differently.

    Parameters
    ----------
    name
        Of the sink partition: snapshots of another one are refused.
    resume_state
        What `seal` gave last, if anything.
    store
        Name of the recovery store, if it has one.

    Examples
    --------
    >>> outbox = Outbox("topics", None)
    >>> outbox.add(b"records")
    >>> state = outbox.seal()  # the engine stores it: then, and no sooner, the chunk may be published
    >>> resumed = Outbox("topics", state)
    >>> resumed.take()[1:]
    (1, b'records')
    >>> resumed.published()
    >>> resumed.take()
    """

    kept = fields(_store=str, _next=int, _sealed=list[bytes])

    def __init__(self, name: str, resume_state: bytes | None, store: str = "") -> None:
        self._name = name
        self._open: list[bytes] = []
        self._sealed: list[bytes] = []
        # A store's name is made with the store: numbers begin again with a new one.
        self._store = store or uuid4().hex
        self._next = 1  # number of the first chunk that is not published
        self._taken = 0  # sealed chunks that are being published
        if resume_state is not None:
            self.restore(unpack(f"outbox {name}", resume_state, layout=_LAYOUT))

    @property
    def store(self) -> str:
        """Name of the store."""
        return self._store

    @property
    def newest(self) -> int:
        """Number of the newest chunk that a snapshot holds or held; nobody has seen a later one."""
        return self._next + len(self._sealed) - 1

    @property
    def open(self) -> bool:
        """Whether anything waits for the next snapshot."""
        return bool(self._open)

    @property
    def publishing(self) -> bool:
        """Whether anything that the last snapshot holds is not published yet."""
        return bool(self._sealed)

    def add(self, chunk: bytes) -> None:
        """Take a chunk, which the next snapshot will hold."""
        self._open.append(chunk)

    def take(self) -> Chunk | None:
        """Give the next chunk of the last snapshot to publish: call this only once that snapshot is durable.

        A consumer that has had the chunk before ignores it. It is kept until `published` is called.
        """
        if self._taken == len(self._sealed):
            return None
        self._taken += 1
        place = self._taken - 1
        return Chunk(self._store, self._next + place, self._sealed[place])

    def published(self) -> None:
        """Forget the first of the chunks that were taken: it is published."""
        del self._sealed[0]
        self._taken -= 1
        self._next += 1

    def seal(self) -> bytes:
        """State for a snapshot, which holds everything that is not published."""
        self._sealed += self._open
        self._open = []
        return pack(f"outbox {self._name}", self.state(), layout=_LAYOUT)


_LAYOUT = digest(Outbox.layout())
