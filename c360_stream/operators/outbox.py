"""Outbox: what a snapshot vouches for, numbered, until it has been published."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from c360_stream.snapshot import pack, unpack

Publish = Callable[[str, int, bytes], None]

_unfinished: list[Callable[[], None]] = []


class Pulse:
    """Says to every partition of a sink that time passes: what the last snapshot holds can be published."""


PULSE = Pulse()


def finish_later(finish: Callable[[], None]) -> None:
    """Have this called by `finish_outboxes`: a partition that the engine closed holds chunks of the last snapshot."""
    _unfinished.append(finish)


def finish_outboxes() -> None:
    """Publish what the last snapshot of a run that came to its end holds: call this once the engine has returned."""
    while _unfinished:
        _unfinished.pop(0)()


class Outbox:
    """Chunks of output that wait: first for the snapshot that makes them durable, then to be published.

    A chunk is named by the store and a number that no other chunk of this sink partition ever has. It is published
    only once a snapshot holds it, so that a crash at any moment finds it again, under the same name and with the
    same bytes; whoever takes it recognises the name. A chunk that no snapshot holds has been seen by nobody, and a
    crash makes it anew, perhaps cut differently.

    Parameters
    ----------
    name
        Of the sink partition: snapshots of another one are refused.
    resume_state
        What `seal` gave last, if anything.

    Examples
    --------
    >>> outbox = Outbox("topics", None)
    >>> outbox.add(b"records")
    >>> state = outbox.seal()  # the engine stores it: then, and no sooner, the chunk may be published
    >>> published = []
    >>> resumed = Outbox("topics", state)
    >>> resumed.publish_sealed(lambda store, sequence, chunk: published.append((sequence, chunk)))
    >>> published
    [(1, b'records')]
    """

    def __init__(self, name: str, resume_state: bytes | None) -> None:
        self._name = name
        self._open: list[bytes] = []
        self._sealed: list[bytes] = []
        # A store's name is made with the store: numbers begin again with a new one.
        self._store = uuid4().hex
        self._next = 1  # number of the first chunk that is not published
        if resume_state is not None:
            state = unpack(f"outbox {name}", resume_state)
            self._store, self._next, self._sealed = state["store"], state["next"], state["sealed"]

    @property
    def waiting(self) -> bool:
        """Whether anything is not published yet."""
        return bool(self._open or self._sealed)

    def add(self, chunk: bytes) -> None:
        """Take a chunk, which the next snapshot will hold."""
        self._open.append(chunk)

    def publish_sealed(self, publish: Publish) -> None:
        """Publish what the last snapshot holds: call this only once that snapshot is durable.

        Parameters
        ----------
        publish
            Takes the store's name, the chunk's number and the chunk; does nothing if it has had them before.
        """
        while self._sealed:
            publish(self._store, self._next, self._sealed[0])
            del self._sealed[0]
            self._next += 1

    def seal(self) -> bytes:
        """State for a snapshot, which holds everything that is not published."""
        self._sealed += self._open
        self._open = []
        return pack(f"outbox {self._name}", {"store": self._store, "next": self._next, "sealed": self._sealed})
