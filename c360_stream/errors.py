"""Errors that reach a person: one line with what is wrong, where, and how to fix it."""

from __future__ import annotations


class C360Error(Exception):
    """Base of every error that the command line prints without a traceback.

    Parameters
    ----------
    what
        What went wrong, and where, in one line.
    hint
        What the reader can do about it, in one line.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}; {hint}" if hint else what)


class ConfigurationError(C360Error):
    """Wrong use or configuration: nothing was started (exit code 2)."""

    exit_code = 2


class TransportError(C360Error):
    """A broker, log directory or database refused or could not be reached (exit code 1)."""


class InputError(C360Error):
    """The input is not what a run can make sense of (exit code 1)."""


class StateError(C360Error):
    """A snapshot or recovery store cannot be used: damaged, locked or from another version (exit code 1)."""
