"""What each subcommand of c360 does."""

from __future__ import annotations

PEERS_VARIABLE = "C360_PEERS"
"""Set in the processes of a cluster: the addresses of all of them."""


def printable(text: str) -> str:
    r"""Text from outside on one line, fit for a terminal: what does not print becomes a space.

    Identifiers and reasons come from topics that others write to, and an escape sequence in one could rewrite
    the reader's screen.

    >>> printable("acme\x1b[2J\n  Ltd ")
    'acme [2J Ltd'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def escaped(text: str) -> str:
    r"""An identifier from outside, whole and fit for a terminal: what does not print is escaped, as in Python.

    Unlike `printable`, it leaves two identifiers different that are.

    >>> print(escaped("acme\x1b[2J  Ltd 株\u202e\n"))
    acme\x1b[2J  Ltd 株\u202e\n
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
