"""Where `c360 simulate` writes a log directory: hidden until it is complete, so that it can be repeated."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError, StateError, TransportError
from c360_stream.tools.simulate import SimulationSpec

UNFINISHED = ".c360-simulation"
"""Folder of the log directory for incomplete files. Only simulations write into it."""
LOCK, WHOLE, TRUTH = "lock", "whole.json", "truth.jsonl"


@dataclass(frozen=True)
class Draft:
    """What is being written.

    Attributes
    ----------
    directory
        Topics and truth go here.
    spec, out
        The company, and the log directory that it is for.
    summary
        The summary of an interrupted simulation of the same company, whose files are in their place now. Empty if the
        company has to be simulated.
    """

    directory: Path
    spec: SimulationSpec
    out: Path
    summary: str = ""

    def publish(self, summary: str) -> None:
        """Move everything to its place.

        Parameters
        ----------
        summary
            To print when a simulation is repeated that was killed meanwhile.

        Raises
        ------
        ConfigurationError
            If something is there by now.
        TransportError
            If it cannot be moved.
        """
        with _writable(self.out):
            _refuse_occupied(self.out, self.spec, truth=(self.directory / TRUTH).exists())
            part = self.directory / f"{WHOLE}.part"
            part.write_text(json.dumps({"company": _company(self.spec), "said": summary}))
            part.rename(self.directory / WHOLE)
            _move_out(self.directory, self.out)


@contextlib.contextmanager
def drafted(out: Path, spec: SimulationSpec, *, truth: bool) -> Iterator[Draft]:
    """Make room for a simulation in a log directory, and give back what is not published.

    What an interrupted one wrote goes, and it is begun anew. One that was killed while it was moved to its place is
    moved there.

    Parameters
    ----------
    out
        The log directory; made if it is absent.
    spec
        The company.
    truth
        Whether the truth goes there too.

    Raises
    ------
    ConfigurationError
        If a topic holds events, or there is a truth already.
    StateError
        If another simulation is at work there.
    TransportError
        If the directory cannot be written.
    """
    directory = out / UNFINISHED
    with _writable(out):
        if not directory.exists():
            _refuse_occupied(out, spec, truth=truth)
            directory.mkdir(parents=True)
    with _locked(directory):
        try:
            with _writable(out):
                company, summary = _put_in_place(directory, out)
                if company != _company(spec):
                    summary = ""
                    _refuse_occupied(out, spec, truth=truth)
                    _clear(directory)
            yield Draft(directory, spec, out, summary)
        finally:
            # Unless it has begun to be moved: then a repeat goes on with that.
            if not (directory / WHOLE).exists():
                shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with _writable(directory):
        lock = (directory / LOCK).open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(lock.fileno()).st_ino == (directory / LOCK).stat().st_ino
        except (BlockingIOError, FileNotFoundError):  # it is at work, or has just removed the folder
            mine = False
        if not mine:
            raise StateError(
                f"another c360 simulate is at work in {directory.parent}", "wait for it, or choose another --out"
            )
        yield


def _put_in_place(directory: Path, out: Path) -> tuple[dict[str, Any] | None, str]:
    """Finish a publication that was interrupted; return its company and its summary."""
    whole = directory / WHOLE
    if not whole.exists():
        return None, ""
    known = json.loads(whole.read_text())
    _move_out(directory, out)
    return known["company"], known["said"]


def _move_out(directory: Path, out: Path) -> None:
    """Move the files to their place, never over another."""
    for staged in sorted(path for path in directory.rglob("*.jsonl")):
        place = out / staged.relative_to(directory)
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            raise ConfigurationError(f"{place} is there already", "move it away, or choose another --out")
        staged.rename(place)
    (directory / WHOLE).unlink()


def _clear(directory: Path) -> None:
    left = [path for path in directory.iterdir() if path.name != LOCK]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if left:
        click.echo(f"c360 simulate: {directory.parent} has an unfinished simulation: it is begun anew", err=True)


def _refuse_occupied(out: Path, spec: SimulationSpec, *, truth: bool) -> None:
    for kind in INPUT_KINDS:
        topic = out / f"{spec.topic_prefix}.{kind}.events.v1"
        if any(topic.glob("*.jsonl*")):
            raise ConfigurationError(f"{topic} already holds events", "choose another --out or remove it")
    if truth and (out / TRUTH).exists():
        raise ConfigurationError(f"{out / TRUTH} is there already", "choose another --out, or --truth, or remove it")


def _company(spec: SimulationSpec) -> dict[str, Any]:
    return asdict(spec) | {"start": spec.start.isoformat()}


@contextlib.contextmanager
def _writable(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransportError(f"{where}: {error.strerror or error}", "check the path and the free space") from error
