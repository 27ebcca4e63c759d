"""`escaped`: an identifier from outside, made safe to print on a terminal."""

from __future__ import annotations


def escaped(text: str) -> str:
    r"""An identifier from outside, whole and fit for a terminal: what does not print is escaped, as in Python.

    Unlike `printable`, it leaves two identifiers different that are.

    >>> print(escaped("acme\x1b[2J  Ltd 株\u202e\n"))
    acme\x1b[2J  Ltd 株\u202e\n
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
