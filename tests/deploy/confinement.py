"""Runs a command under a unit's filter of system calls and its ban on memory that is written to and executed.

`python -m tests.deploy.confinement UNIT COMMAND ...`: the rules of systemd, by the library that it uses, for where it
does not run. `systemd-analyze` says which calls are in a set such as `@system-service`.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator

from tests.deploy.units import Unit, unit

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
EQUAL_UNDER_MASK = 7
PR_SET_NO_NEW_PRIVS = 38
UNKNOWN_CALL = -1


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64))


class _Filter:
    """A filter of system calls; what no rule names gets `otherwise`."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(otherwise))

    def add(self, action: int, call: str, *comparisons: _Comparison) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number == UNKNOWN_CALL:  # of another architecture
            return
        array = (_Comparison * len(comparisons))(*comparisons)
        failed = self._library.seccomp_rule_add_array(self._context, action, number, len(comparisons), array)
        assert not failed, f"{call}: {os.strerror(-failed)}"

    def load(self) -> None:
        failed = self._library.seccomp_load(self._context)
        assert not failed, os.strerror(-failed)


def confine(confined: Unit) -> None:
    """Confine this process, and what it becomes."""
    assert ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    allowed: set[str] = set(_members("@default"))
    for line in confined.directives["SystemCallFilter"]:
        calls = {call for name in line.removeprefix("~").split() for call in _members(name)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    calls_filter = _Filter(REFUSE)
    for call in sorted(allowed):
        calls_filter.add(ALLOW, call)
    memory_filter = _Filter(ALLOW)
    if confined.one("MemoryDenyWriteExecute") == "yes":
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        memory_filter.add(REFUSE, "mmap", _Comparison(2, EQUAL_UNDER_MASK, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            memory_filter.add(REFUSE, call, _Comparison(2, EQUAL_UNDER_MASK, mmap.PROT_EXEC, mmap.PROT_EXEC))
    memory_filter.load()
    calls_filter.load()


def _members(name: str) -> Iterator[str]:
    if not name.startswith("@"):
        yield name
        return
    command = ["systemd-analyze", "syscall-filter", name]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()[1:]
    for line in (each.strip() for each in listed):
        if line and not line.startswith("#"):
            yield from _members(line)


if __name__ == "__main__":
    confine(unit(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
