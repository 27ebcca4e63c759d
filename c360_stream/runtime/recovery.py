"""The recovery store: made once, for one input, by one run at a time; and what its failures mean."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from bytewax.recovery import init_db_dir

from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.logdir import SnapshotMark
from c360_stream.errors import ConfigurationError, StateError
from c360_stream.logs.events import STATE_NEW, STATE_RESUMED
from c360_stream.operators.state_layout import whole_layout
from c360_stream.operators.topic_sink import Begun
from c360_stream.runtime.engine_store import forget_incomplete_epoch, is_in_use, unreadable_reason
from c360_stream.settings import Settings
from c360_stream.state.chunk_store import FULL, RESTORE, STATE_FOLDER
from c360_stream.state.layout import START_OVER, checked_layout, differences
from c360_stream.state.private_files import DIRECTORY_MODE, keep_private, open_private

RECOVERY_PARTITIONS = 16
ORIGIN = "origin.json"
MADE_SECONDS_MAX = 60.0
"""How long the other processes of a cluster wait until process 0 has made the store."""
FREE_BYTES_MIN = 1024 * 1024
"""A disk with less is full: a journal's next page may not fit."""
_OVER = "or name an empty directory, with --republish, to start over"
_NOT_FOREIGN = re.compile(
    r"\..*|lost\+found|origin\.json(\.new)?|state|native-\d+\.txt|part-\d+\.sqlite3(-journal|-wal|-shm)?"
)
_SQLITE_FAILURE = re.compile(r'SqliteFailure\(Error \{ code: (\w+), [^}]*\}, (?:Some\("([^"]*)"\)|None)')
_MISSING_PARTS = re.compile(r"Missing recovery partitions (\{.*?\}) of \d+")


@contextmanager
def recovery_store(
    directory: Path | None,
    settings: Settings,
    *,
    process: int = 0,
    cluster: bool = False,
    republish: bool = False,
) -> Iterator[IO[str] | None]:
    """Make the recovery store if it is absent, readable by its owner alone, lock it, and see that it fits the input.

    Parameters
    ----------
    directory
        Where it is. None: there is none.
    process, cluster
        Number of this process if several are started one by one with the same directory: process 0 makes the store.
    republish
        Whether a new store may publish what has been published before it.

    Yields
    ------
    The lock: processes that inherit the open file hold it too.

    Raises
    ------
    ConfigurationError
        If the directory cannot be used.
    StateError
        If it is in use, of another input, not made in time by process 0, or new where something has been published.
    """
    if directory is None:
        yield None
        return
    with ExitStack() as held:
        try:
            if process:
                _wait_until_made(directory)
                lock = _lock(directory, f".lock-{process}", held)
            else:
                lock = _prepare(directory, held, cluster=cluster)
                if not republish and not (directory / ORIGIN).exists():
                    _refuse_to_repeat(directory, settings)
                _make(directory)
                _note_origin(directory, settings)
        except OSError as error:
            raise ConfigurationError(
                f"recovery directory {directory}: {error.strerror or error}", "name a writable one"
            ) from None
        _check_origin(directory, settings)
        if failure := inspect(directory):
            raise failure
        if not process:
            epoch = forget_incomplete_epoch(directory)
            if epoch is None:
                STATE_NEW.log(recovery=directory)
            else:
                STATE_RESUMED.log(recovery=directory, epoch=epoch)
        yield lock


def begun(directory: Path | None) -> Begun:
    """How the recovery store began."""
    if directory is None:
        return Begun()
    origin = _origin(directory)
    return Begun(origin["store"], origin["begun_at"], origin["mark"])


def native_file(directory: Path | None, process: int) -> Path | None:
    """Where a process keeps what native code writes: until it ends, or starts again after a crash."""
    return directory / f"native-{process}.txt" if directory else None


def explain(directory: Path, output: str) -> StateError | None:
    """What a failure of the engine means, if it is about its recovery store.

    Parameters
    ----------
    output
        Everything that the engine has written: messages of exceptions and what its panics wrote.
    """
    what_and_hint = _missing(output) or _unusable(directory, output)
    return (
        StateError(f"recovery directory {directory}: {what_and_hint[0]}", what_and_hint[1]) if what_and_hint else None
    )


def inspect(directory: Path, *, thoroughly: bool = False) -> StateError | None:
    """What is wrong with a recovery store that is made, as far as it shows from outside.

    In a cluster the engine loses the messages of its store.

    Parameters
    ----------
    thoroughly
        Whether to read all of it, and to look at the disk under it.
    """
    absent, unreadable = [], ""
    for name in (f"part-{number}.sqlite3" for number in range(RECOVERY_PARTITIONS)):
        part = directory / name
        if not part.exists() or (part.is_file() and not part.stat().st_size):
            absent.append(name)
        elif why := unreadable_reason(part, thoroughly=thoroughly):
            unreadable = unreadable or f"{name} cannot be read: {why}"
    if absent:
        return StateError(f"recovery directory {directory}: {', '.join(absent)} missing or empty", RESTORE)
    if thoroughly and _free_bytes(directory) < FREE_BYTES_MIN:
        return StateError(f"recovery directory {directory}: {FULL[0]}", FULL[1])
    return StateError(f"recovery directory {directory}: {unreadable}", RESTORE) if unreadable else None


def _missing(output: str) -> tuple[str, str] | None:
    if found := _MISSING_PARTS.search(output):
        names = ", ".join(f"part-{number}.sqlite3" for number in sorted(map(int, re.findall(r"\d+", found[1]))))
        return f"{names} missing or empty", RESTORE
    if "No recovery partitions found" in output:
        return "every part is missing", RESTORE
    return ("its parts are of different moments", RESTORE) if "InconsistentPartitionsError" in output else None


def _unusable(directory: Path, output: str) -> tuple[str, str] | None:
    failure = _SQLITE_FAILURE.search(output)
    if failure is None and "recovery DB" not in output:
        return None
    code, why = (failure[1], failure[2] or failure[1]) if failure else ("CannotOpen", "unable to open database file")
    if code == "SystemIoFailure" and _free_bytes(directory) < FREE_BYTES_MIN:
        code = "DiskFull"  # SQLite reports it for the database alone, and not for its journal
    match code:
        case "DiskFull":
            return FULL
        case "CannotOpen" | "ReadOnly" | "PermissionDenied":
            return why, "make its files readable and writable, and run again: it resumes"
        case "SystemIoFailure" | "DatabaseBusy" | "DatabaseLocked":
            return why, f"see to the disk under it and run again: it resumes; {_OVER}"
        case _:
            found = inspect(directory, thoroughly=True)
            what = found.what.partition(": ")[2] if found else f"it cannot be read: {why}"
            return what, RESTORE


def _prepare(directory: Path, held: ExitStack, *, cluster: bool) -> IO[str]:
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    foreign = sorted(entry.name for entry in directory.iterdir() if not _NOT_FOREIGN.fullmatch(entry.name))
    if foreign and not (directory / ORIGIN).exists():
        raise StateError(
            f"recovery directory {directory} has no recovery store but other files: {foreign[0]}",
            "name a new or an empty directory",
        )
    keep_private(directory, "recovery directory")  # anybody who can write to it runs code here
    lock = _lock(directory, ".lock", held)
    if not cluster:  # the others of a cluster, started one by one, may have come first
        with ExitStack() as looked_at:
            for other in directory.glob(".lock-*"):
                _lock(directory, other.name, looked_at)
    return lock


def _make(directory: Path) -> None:
    """Make the engine's files; what a crash amid this left is no store yet, and is made anew."""
    parts = list(directory.glob("part-*.sqlite3"))
    if (directory / ORIGIN).exists():
        return
    if any(map(is_in_use, parts)) or (directory / STATE_FOLDER).exists():
        raise StateError(f"recovery directory {directory}: {ORIGIN} is missing", f"restore it from a back-up, {_OVER}")
    for part in parts:
        part.unlink()
    if _free_bytes(directory) < FREE_BYTES_MIN:
        raise StateError(f"recovery directory {directory}: {FULL[0]}", FULL[1])
    try:
        init_db_dir(directory, RECOVERY_PARTITIONS)
    except BaseException as error:  # the engine's panics are no Exception
        failure = explain(directory, f"{error}")
        if failure is None:
            raise
        raise failure from None


def _note_origin(directory: Path, settings: Settings) -> None:
    """Note in a new recovery store where its input is and where the output topics were."""
    origin = directory / ORIGIN
    if origin.exists():
        return
    positions = {} if settings.uses_kafka else _output_positions(settings)
    written = directory / f"{ORIGIN}.new"
    noted: dict[str, Any] = {
        "place": _place(settings),
        "prefix": settings.topic_prefix,
        "begun_at": positions,
        "store": uuid4().hex,
        "mark": None if settings.uses_kafka else SnapshotMark(settings.log_dir, settings.topic_prefix).read(),
    }
    noted |= {"features": _feature_settings(settings), "layout": whole_layout(settings)}
    with open_private(written, "w") as file:
        json.dump(noted, file, indent=1)
    written.replace(origin)


def _check_origin(directory: Path, settings: Settings) -> None:
    """Refuse the store of another input, one whose windows were filled by other rules, and one of another layout.

    Positions mean nothing in another log, and a log directory's output would be cut back to them.
    """
    kept, place = _origin(directory), _place(settings)
    if (kept["place"], kept["prefix"]) != (place, settings.topic_prefix):
        raise StateError(
            f"recovery directory {directory} is of {kept['place']}, topics {kept['prefix']}.*; this run is on {place}",
            "name the recovery directory of this input, or an empty one",
        )
    for name, now in _feature_settings(settings).items():
        before = kept["features"].get(name, now)
        if now != before:
            raise StateError(
                f"recovery directory {directory}: its windows were filled with {name} = {json.dumps(before)};"
                f" now it is {json.dumps(now)}",
                f"set C360_{name.upper()} back, {_OVER}",
            )
    if kept["layout"] is None:
        how = "by an older release, which did not note its layout"
    elif differing := differences(kept["layout"], whole_layout(settings)):
        how = f"with another layout: {differing}"
    else:
        return
    raise StateError(f"recovery directory {directory}: its state was kept {how}", START_OVER)


def _origin(directory: Path) -> dict[str, Any]:
    try:
        kept = json.loads((directory / ORIGIN).read_text())
        positions = {str(topic): tuple(map(int, position)) for topic, position in kept["begun_at"].items()}
        features = dict(kept.get("features", {}))  # older stores have none
        mark = kept.get("mark")
        noted = {"place": kept["place"], "prefix": kept["prefix"], "store": str(kept.get("store", ""))}
        noted["mark"] = (str(mark[0]), int(mark[1])) if mark else None
        layout = checked_layout(kept["layout"]) if "layout" in kept else None  # older stores have none
        return noted | {"begun_at": positions, "features": features, "layout": layout}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise StateError(
            f"recovery directory {directory}: {ORIGIN}: {what}", f"restore it from a back-up, {_OVER}"
        ) from None


def _feature_settings(settings: Settings) -> dict[str, Any]:
    """What decides as what an event counts in the windows, in the form that JSON gives back."""
    return {"core_actions": sorted(settings.core_actions), "category_prefixes": dict(settings.category_prefixes)}


def _place(settings: Settings) -> str:
    place = f"kafka {settings.kafka_brokers}" if settings.uses_kafka else f"log directory {settings.log_dir.resolve()}"
    return f"{place}, input {settings.input_prefix}.*" if settings.input_prefix else place


def _refuse_to_repeat(directory: Path, settings: Settings) -> None:
    """Refuse a new store where another one, which is lost or was begun anew, has published: nothing knows what."""
    topics = [topic for topic in settings.output_topics if topic != settings.heartbeat_topic]
    with closing(open_transport(settings)) as transport:
        for topic in topics if settings.uses_kafka or settings.log_dir.is_dir() else ():
            for number in transport.partitions(topic):
                with closing(transport.reader(topic, number, None, live=True)) as reader:
                    if reader.lag():
                        raise StateError(
                            f"recovery directory {directory} is new, but {topic} has records: what was published"
                            " before would be published again",
                            "put the recovery directory back; or publish it all again: --republish",
                        )


def _output_positions(settings: Settings) -> dict[str, tuple[int, ...]]:
    positions = {}
    with closing(open_transport(settings)) as transport:
        for topic in settings.output_topics:
            with closing(transport.writer(topic, None)) as writer:
                positions[topic] = writer.position()
    return positions


def _wait_until_made(directory: Path) -> None:
    deadline = time.monotonic() + MADE_SECONDS_MAX
    while not (directory / ORIGIN).exists():
        if time.monotonic() > deadline:
            raise StateError(
                f"recovery directory {directory} was not made by process 0 within {MADE_SECONDS_MAX:.0f} s",
                "start process 0, and name a directory that all processes share",
            )
        time.sleep(0.1)


def _lock(directory: Path, name: str, held: ExitStack) -> IO[str]:
    lock = held.enter_context((directory / name).open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(
            f"recovery directory {directory} is in use by another process", "stop that one, or name another directory"
        ) from None
    return lock


def _free_bytes(directory: Path) -> int:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return FREE_BYTES_MIN
