"""The messy worlds: as messy as they claim, and their truth agrees with the contract of the input events."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from c360_stream.contracts.events.reference import CONTRACTS
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from tests.reference.log import Mess, read_log
from tests.reference.rubbish import ANY_TOPIC, ONE_TOPIC, OUT_OF_TIME, encode
from tests.reference.worlds import WorldSpec, make_world, write_world

SPEC = WorldSpec(seed=11, accounts=10, days=60)


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_every_event_is_valid_and_every_kind_of_rubbish_is_not(kind: InputKind) -> None:
    events = make_world(SPEC)[kind]
    contract = CONTRACTS[kind]
    for event in events:
        contract.validate_json(encode(event))
    draw = random.Random(11)
    for name, spoil in (ANY_TOPIC | ONE_TOPIC[kind]).items():
        if name in {*OUT_OF_TIME, "too long"}:  # no matter of form
            continue
        for event in draw.sample(events, 5):
            with pytest.raises(ValidationError):
                contract.validate_json(spoil(event, draw))


def test_the_log_holds_the_events_their_repeats_and_the_rubbish(tmp_path: Path) -> None:
    mess = Mess(seed=11, duplicate_share=0.1, rubbish_share=0.1)
    log = write_world(SPEC, tmp_path, mess)
    assert read_log(tmp_path) == log
    events = sum(map(len, log.events.values()))
    rubbish = sum(map(len, log.rubbish.values()))
    repeats = log.lines - events - rubbish
    assert events * 0.06 < repeats < events * 0.14
    assert events * 0.06 < rubbish < events * 0.14
    in_order = sorted((tmp_path / "c360.product.events.v1" / "0.jsonl").read_bytes().splitlines())
    assert len(set(in_order)) < len(in_order)


def test_one_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_world(SPEC, tmp_path / name)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.jsonl")]
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
