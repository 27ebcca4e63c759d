"""Large state in files: what was kept comes back whatever happens, what did not change is not written again."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.errors import StateError
from c360_stream.state import backend as keeping_steps
from c360_stream.state import chunk_store as segments
from c360_stream.state import codec as snapshot
from c360_stream.state.backend import StateBackend
from c360_stream.state.chunk_store import ORPHANS_KEPT, SNAPSHOTS_KEPT, STATE_FOLDER, ChunkStore
from c360_stream.state.codec import Pages, pack, unpack
from c360_stream.state.fields import Kept

CHUNK, SEGMENT, FILES = 64, 512, 8
FOLDER = "accounts-3"
Arrays = dict[str, "np.ndarray[Any, Any]"]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(segments, "SEGMENT_BYTES_MAX", SEGMENT)
    monkeypatch.setattr(segments, "SEGMENTS_MAX", FILES)
    monkeypatch.setattr(snapshot, "BLOB_BYTES_MIN", 8)
    monkeypatch.setattr(keeping_steps, "INLINE_BYTES_MAX", 100)


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more."""


class Disk:
    """The calls to the operating system, of which one may fail, or be the last."""

    def __init__(self, fails_at: int = 0, failure: Callable[[], BaseException] = KilledError) -> None:
        self.calls = 0
        self.unsynced: set[int] = set()
        self._fails_at = fails_at
        self._failure = failure
        mine = {name: getattr(self, f"_{name}") for name in ("write", "fdatasync", "fsync")}
        mine["open"] = self.open
        self.module = SimpleNamespace(**{**vars(os), **mine})

    def _call(self) -> bool:
        self.calls += 1
        return self.calls == self._fails_at

    def _write(self, file: int, content: Any) -> int:
        self.unsynced.add(os.fstat(file).st_ino)
        if self._call():
            os.write(file, memoryview(content)[: len(content) // 2])
            raise self._failure()
        return os.write(file, memoryview(content)[: max(len(content) // 2, 1)])  # as it may

    def _fdatasync(self, file: int) -> None:
        if self._call():
            raise self._failure()
        self.unsynced.remove(os.fstat(file).st_ino)

    def _fsync(self, file: int) -> None:
        if self._call():
            raise self._failure()
        self.unsynced.discard(os.fstat(file).st_ino)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        """Open; a file that is made changes its folder."""
        if flags & os.O_CREAT:
            self.unsynced.add(path.parent.stat().st_ino)
        return os.open(path, flags, mode)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Disk]:
    def use(*arguments: Any) -> Disk:
        made = Disk(*arguments)
        monkeypatch.setattr(segments, "os", made.module)
        return made

    return use


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def keep(store: ChunkStore, state: Any) -> bytes:
    store.begin()
    packed = pack("s", state, store)
    store.commit()
    return packed


def resume(recovery: Path, packed: bytes) -> tuple[ChunkStore, Any]:
    found: list[ChunkStore] = []

    def find(name: str) -> ChunkStore:
        found.append(ChunkStore(recovery, name))
        return found[0]

    state = unpack("s", packed, find)
    found[0].loaded()
    return found[0], state


def files(recovery: Path) -> list[Path]:
    return sorted((recovery / STATE_FOLDER / FOLDER).iterdir())


def size(recovery: Path) -> int:
    return sum(file.stat().st_size for file in files(recovery))


def noise(length: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, length, np.uint8)


def same(ours: Any, theirs: Any) -> bool:
    return ours.keys() == theirs.keys() and all(
        (ours[name].dtype, ours[name].tolist()) == (theirs[name].dtype, theirs[name].tolist()) for name in ours
    )


# An array's name, and what becomes of it: a length and a seed of new content for a part of it.
changes = st.tuples(st.sampled_from("abc"), st.integers(0, 400), st.integers(0, 300), st.integers(0, 5))
rounds = st.lists(
    st.tuples(
        st.lists(changes, max_size=3),
        st.integers(0, 12),  # the call that kills, if there are so many; 0: none does
        st.booleans(),  # a crash right after it, before the engine has stored what it was given
    ),
    max_size=14,
)


@given(rounds)
def test_what_was_kept_comes_back_whatever_happens(history: list[tuple[list[Any], int, bool]]) -> None:
    """The engine resumes from the last snapshot that it was given, or from the one before."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        recovery = Path(home)
        store, live = ChunkStore(recovery, FOLDER), dict[str, Any]()
        kept: list[tuple[bytes, Arrays]] = []
        for edits, killed_at, lost in history:
            for name, length, at, seed in edits:
                array = np.resize(live.get(name, noise(1)), length) if length else np.zeros(0, np.uint8)
                array[at : at + 70] = noise(len(array[at : at + 70]), seed)
                live[name] = array.astype(np.uint8)
            patch.setattr(segments, "os", Disk(killed_at).module)
            try:
                kept.append((keep(store, live), {name: array.copy() for name, array in live.items()}))
                died = False
            except KilledError:
                died = True
            patch.setattr(segments, "os", os)
            if lost and len(kept) > 1 and not died:
                kept.pop()  # it did not come to storing it
            if died or lost:
                if not kept:
                    store, live = ChunkStore(recovery, FOLDER), {}
                    continue
                store, live = resume(recovery, kept[-1][0])
                assert same(live, kept[-1][1])
                del kept[:-1]  # the engine never goes back behind what it has resumed from
            for packed, state in kept[-2:]:
                assert same(resume_elsewhere(recovery, packed), state)


def resume_elsewhere(recovery: Path, packed: bytes) -> Any:
    """Read a snapshot without leaving a trace."""
    return unpack("s", packed, lambda name: ChunkStore(recovery, name))


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    store, array = ChunkStore(tmp_path, FOLDER), noise(CHUNK * 100)
    keep(store, [array])
    assert store.written_bytes == CHUNK * 100
    before = files(tmp_path)
    keep(store, [array])
    assert (store.written_bytes, files(tmp_path)) == (0, before)
    array[CHUNK * 7] ^= 1
    keep(store, [array])
    assert store.written_bytes == CHUNK
    keep(store, [array[CHUNK:], array])
    assert store.written_bytes == 0, "wherever it was"


def test_content_that_repeats_is_written_once(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path, FOLDER)
    packed = keep(store, [np.zeros(CHUNK * 1000, np.int64)])
    assert store.written_bytes == CHUNK
    assert resume(tmp_path, packed)[1][0].tolist() == [0] * CHUNK * 1000


def test_it_is_on_the_disk_before_the_engine_is_told(tmp_path: Path, disk: Callable[..., Disk]) -> None:
    store, used = ChunkStore(tmp_path, FOLDER), disk()
    for seed in range(3):
        keep(store, [noise(SEGMENT * 3 + 1, seed)])
        assert used.unsynced == set()
    assert used.calls > 3 * 4


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, SEGMENT * 3 + 5])
def test_pages_come_back(tmp_path: Path, length: int) -> None:
    ids = [f"account {number}" for number in range(length)]
    store = ChunkStore(tmp_path, FOLDER)
    state = [Pages.cut(ids, 10), Pages.by_account({0: "x", length: "y"}, length + 1, 4), np.arange(3)]
    back = resume(tmp_path, keep(store, state))[1]
    assert [each for page in back[0] for each in page] == ids
    assert dict(Pages.joined(back[1])) == {0: "x", length: "y"}
    keep(store, [Pages.cut([*ids, "one more"], 10)])
    assert store.written_bytes < 200, "the last page alone"


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_the_disk_stays_bounded(tmp_path: Path, share: float) -> None:
    """Many snapshots of state of which some parts never, and some often change."""
    store, array, rng = ChunkStore(tmp_path, FOLDER), noise(CHUNK * 200), np.random.default_rng(1)
    most = written = 0
    for _ in range(150):
        chunks = rng.integers(0, 200, int(200 * share)) // rng.integers(1, 5)
        array.reshape(200, CHUNK)[chunks] = rng.integers(0, 256, (len(chunks), CHUNK), np.uint8)
        packed = keep(store, [array])
        written += store.written_bytes
        most = max(most, size(tmp_path) - SNAPSHOTS_KEPT * 2 * len(chunks) * CHUNK)
        live = len(array)
        assert len(files(tmp_path)) < 2 * (FILES + 2 * live / SEGMENT) + SNAPSHOTS_KEPT * (
            4 + len(chunks) * CHUNK / SEGMENT
        )
    assert most < 2.2 * len(array)
    assert written < 150 * 3 * 200 * share * CHUNK + 2 * len(array)
    assert resume(tmp_path, packed)[1][0].tolist() == array.tolist()


@pytest.mark.parametrize("hot", [0, 7])
def test_what_stays_does_not_hold_files_of_what_went(tmp_path: Path, hot: int) -> None:
    """At each snapshot one chunk more, for good, beside some that are there until the next."""
    store, cold = ChunkStore(tmp_path, FOLDER), []
    for seed in range(200):
        cold.append(noise(CHUNK, seed))
        packed = keep(store, [cold, noise(CHUNK * hot, -seed % 1000 + 1000)])
        assert len(files(tmp_path)) < 2 * FILES + 4 * len(cold) * CHUNK / SEGMENT
        assert size(tmp_path) < 2.2 * (len(cold) + hot) * CHUNK + SNAPSHOTS_KEPT * 2 * (hot * CHUNK + SEGMENT)
    assert [each.tolist() for each in resume(tmp_path, packed)[1][0]] == [each.tolist() for each in cold]


def test_runs_that_end_again_and_again_before_a_second_snapshot_leave_little(tmp_path: Path) -> None:
    store, array = ChunkStore(tmp_path, FOLDER), noise(CHUNK * 20)
    packed = keep(store, [array])
    for seed in range(1, 30):
        store, _ = resume(tmp_path, packed)
        keep(store, [noise(CHUNK * 20, seed)])  # and the engine does not come to storing it
    assert size(tmp_path) <= (2 + ORPHANS_KEPT) * len(array)
    store, [back] = resume(tmp_path, packed)
    assert back.tolist() == array.tolist()
    for _ in range(SNAPSHOTS_KEPT):
        keep(store, [back])
    assert size(tmp_path) == len(array), "nothing is left of those once three snapshots are kept"


def test_it_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "CHUNK_BYTES", 256 * 1024)
    monkeypatch.setattr(segments, "SEGMENT_BYTES_MAX", 16 * 1024 * 1024)
    array, ids = noise(64 * 1024 * 1024), [f"account {number:08d}" for number in range(200_000)]
    store = ChunkStore(tmp_path, FOLDER)
    tracemalloc.start()
    try:
        packed = keep(store, [array, Pages.cut(ids, 8192)])
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
        tracemalloc.reset_peak()
        _, back = resume(tmp_path, packed)
        assert tracemalloc.get_traced_memory()[1] < len(array) + 16 * 1024 * 1024, "ids are strings again"
    finally:
        tracemalloc.stop()
    assert len(back[0]) == len(array)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(bytes(content))


DAMAGES = [(Path.unlink, "is missing"), (cut, "is damaged"), (flip, "is damaged")]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES)
def test_damage_is_noticed_and_named(tmp_path: Path, damage: Callable[[Path], None], expected: str) -> None:
    packed = keep(ChunkStore(tmp_path, FOLDER), [noise(SEGMENT * 3)])
    damage(files(tmp_path)[1])
    with pytest.raises(
        StateError, match=f"^recovery directory {tmp_path}: state/accounts-3/1-1.segment {expected}; restore"
    ):
        resume(tmp_path, packed)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    packed = keep(ChunkStore(tmp_path, FOLDER), [noise(CHUNK)])
    files(tmp_path)[0].unlink()
    (tmp_path / STATE_FOLDER / FOLDER / "1-0.segment").mkdir()
    with pytest.raises(StateError, match=r"accounts-3/1-0.segment: Is a directory; see to it"):
        resume(tmp_path, packed)


@pytest.mark.parametrize("call", range(1, 14))
def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, disk: Callable[..., Disk], call: int) -> None:
    """Wherever it shows: at a file's first byte, within it, or when it has to reach the disk."""
    backend = StateBackend(True, (), tmp_path)
    handle, states = backend.of("accounts", Kept), [[noise(SEGMENT + CHUNK)]]
    kept = [handle.keep("3", lambda: states[-1])]
    disk(call, full)

    there: list[Path] = []

    def go_on() -> None:
        while True:
            there[:] = files(tmp_path)
            states.append([noise(SEGMENT + CHUNK, len(states))])
            kept.append(handle.keep("3", lambda: states[-1]))

    with pytest.raises(StateError, match=f"^recovery directory {tmp_path}: the disk is full; free some space"):
        go_on()
    disk()
    assert (len(kept), files(tmp_path)) == (len(states) - 1, there)
    assert backend.of("accounts", Kept).load(kept[-1])[0].tolist() == states[-2][0].tolist()
    assert backend.of("accounts", Kept).load(handle.keep("3", lambda: states[-1]))[0].tolist() == states[-1][0].tolist()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    keep(ChunkStore(tmp_path, FOLDER), [noise(CHUNK)])
    folder = tmp_path / STATE_FOLDER / FOLDER
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, *files(tmp_path))] == [
        0o700,
        0o700,
        0o600,
    ]


@pytest.mark.parametrize("name", ["../../elsewhere", "accounts", "accounts-", "a-b/c", "", "accounts-3\n"])
def test_it_reads_from_no_other_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(StateError, match="names no state"):
        ChunkStore(tmp_path, name)
