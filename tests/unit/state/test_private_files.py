"""What holds customers' data is for the user alone who runs c360, whatever the umask and whatever was there before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from c360_stream.cli.setup.creation import setup
from c360_stream.cli.sort.external_sort import sort_log
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.logdir import LogDirTransport, SnapshotMark
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError
from c360_stream.settings import Settings
from c360_stream.state.private_files import keep_private, open_private


@pytest.fixture(params=[0o000, 0o022, 0o077], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(log_dir=tmp_path / "log")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(settings: Settings) -> Path:
    """Have a dead letter written; return its file."""
    topic = settings.dead_letter_topic
    with closing(LogDirTransport(settings.log_dir).writer(topic, None)) as writer:
        writer.write([OutRecord("a", b"{}")])
        writer.flush()
    return settings.log_dir / topic / "0.jsonl"


def test_output_topics_are_private_and_the_log_directory_is_not(settings: Settings, umask: int) -> None:
    file = write(settings)
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert mode(settings.log_dir) == 0o777 & ~umask, "producers of events are other users"


def test_output_that_others_could_read_is_closed_to_them(settings: Settings) -> None:
    file = write(settings)
    file.chmod(0o644)
    file.parent.chmod(0o755)
    assert write(settings) == file
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert file.read_bytes() == b"{}\n{}\n"


def test_the_mark_of_the_snapshot_is_private(settings: Settings) -> None:
    settings.log_dir.mkdir()
    mark = SnapshotMark(settings.log_dir, "c360")
    for number in (1, 2):
        mark.write("store", number)
        assert mode(settings.log_dir / ".c360.snapshot.json") == 0o600
    assert mark.read() == ("store", 2)


def test_setup_leaves_input_topics_to_those_who_write_them(settings: Settings, umask: int) -> None:
    own = settings.log_dir / settings.input_topic("billing")
    own.mkdir(parents=True)
    own.chmod(0o775)
    setup(settings)
    assert {mode(settings.log_dir / topic) for topic in settings.output_topics} == {0o700}
    inputs = [mode(settings.log_dir / settings.input_topic(kind)) for kind in INPUT_KINDS]
    assert inputs == [0o777 & ~umask, 0o775, 0o777 & ~umask]


def test_the_embedded_tables_are_private_also_if_they_were_not(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "c360"
    for _ in range(2):
        with closing(connect(f"chdb://{directory}")) as tables:
            tables.migrate()
        assert mode(directory) == 0o700
        directory.chmod(0o755)


def test_a_directory_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch()
    with closing(connect(f"chdb://{tmp_path}")) as tables:
        tables.migrate()
    assert mode(tmp_path) == 0o755


def test_a_sorted_copy_is_private(settings: Settings, tmp_path: Path) -> None:
    topic = settings.log_dir / settings.input_topic("product")
    topic.mkdir(parents=True)
    (topic / "0.jsonl").write_text("no event\n")
    sort_log(settings, tmp_path / "out", 1_000_000)
    assert mode(tmp_path / "out") == mode(tmp_path / "out" / topic.name) == 0o700
    assert mode(tmp_path / "out" / topic.name / "0.jsonl") == 0o600


def test_what_belongs_to_another_user_is_refused_only_if_everybody_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(0o777)
    monkeypatch.setattr(Path, "chmod", denied)
    monkeypatch.setattr(os, "fchmod", denied)
    with pytest.raises(ConfigurationError, match=r"topic folder .*everybody may write to it; .*chmod o-w"):
        keep_private(tmp_path / "folder", "topic folder")
    with open_private(tmp_path / "file", "w") as file:
        file.write("x")
    keep_private(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"
