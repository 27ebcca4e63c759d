"""No input stops the flow: every line is either accepted or a dead letter, whatever it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from c360_stream.contracts.events.reference import CONTRACTS
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from tests.flows.conftest import SEED
from tests.reference.flow_run import FlowRun
from tests.reference.log import Mess, read_lines, topic_name
from tests.reference.tables import query_elsewhere
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.slow
LETTERS = "SELECT topic, partition, offset, exception_message, hex(value) AS value FROM dead_letters FINAL"


def valid(kind: InputKind, line: bytes) -> bool:
    """Whether the contract of the input events takes a line."""
    try:
        CONTRACTS[kind].validate_json(line)
    except ValidationError:
        return False
    return len(line) <= 1 << 20


def test_a_storm_of_mutations_is_accounted_for_line_by_line(tmp_path: Path) -> None:
    mess = Mess(seed=SEED, mutated_share=0.9)
    log = write_world(WorldSpec(seed=SEED, days=80), tmp_path / "world", mess)
    run = FlowRun(log.path, tmp_path / "run")
    run.finish()
    (letters,) = query_elsewhere(run.dsn, LETTERS)
    assert all(letter["exception_message"] for letter in letters)
    lines = {
        (topic_name(kind), partition, number): (kind, line)
        for kind in INPUT_KINDS
        for partition, found in read_lines(log.path, kind).items()
        for number, line in enumerate(found)
    }
    refused = {(letter["topic"], letter["partition"], letter["offset"]): letter for letter in letters}
    assert len(refused) == len(letters)
    for place, (kind, line) in lines.items():
        if place in refused:
            assert bytes.fromhex(refused[place]["value"]) == line, "a dead letter is the line as it came"
        else:
            assert valid(kind, line), f"accepted: {place} {line[:300]!r}"
    assert refused.keys() <= lines.keys()
    assert len(refused) > 2_000
