"""Corrected labels: the model is as if it had known them, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.ledger import CORRECTION_DAYS
from c360_stream.learning.contender import Contender
from c360_stream.learning.corrections import Corrections
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.churn_model import ModelConfig
from c360_stream.state.codec import pack, unpack
from tests.unit.models.test_catalogue import block

CONFIG = ModelConfig(warmup_outcomes=10, warmup_churned=1)
NONE = ExampleBlock.none()
DAYS = 12
FIRST = 20_000


def contenders() -> dict[str, Contender]:
    return {name: Contender(name, CONFIG, "matured") for name in ("online-logistic", "gradient-logistic", "base-rate")}


def day_block(day: int, *, churned: frozenset[str] = frozenset()) -> ExampleBlock:
    """A day's examples; some accounts churned besides those that did anyway."""
    examples = block(20, seed=day, day=day - 60)
    more = np.array([account in churned for account in examples.ids])
    return replace(examples, churned=examples.churned | more)


def learnt(wrong: dict[int, frozenset[str]], told_on: int, *, packed_on: int = -1) -> dict[str, Contender]:
    """Models that learn twelve days; of `wrong`, day -> accounts, they hear late, on the day `told_on`."""
    models, corrections = contenders(), Corrections()
    for day in range(FIRST, FIRST + DAYS):
        if day == packed_on:
            state = unpack("learn", pack("learn", corrections.state()))
            corrections = Corrections()
            corrections.restore(state)
        if day == told_on:
            corrected = {(each - 60, account): False for each, accounts in wrong.items() for account in accounts}
            corrections.relearn(corrected, models)
        late = day < told_on
        matured = day_block(day, churned=frozenset() if late else wrong.get(day, frozenset()))
        corrections.before(day, matured, models)
        for model in models.values():
            model.learn(TrainingBatch(matured, NONE, NONE, NONE, np.full(len(matured), np.nan)))
    return models


def stayers(day: int, count: int) -> frozenset[str]:
    examples = day_block(day)
    return frozenset(
        [account for account, gone in zip(examples.ids, examples.churned, strict=True) if not gone][:count]
    )


@pytest.mark.parametrize("packed_on", [-1, FIRST + 9])
def test_as_if_it_had_been_known(packed_on: int) -> None:
    wrong = {FIRST + 4: stayers(FIRST + 4, 2), FIRST + 6: stayers(FIRST + 6, 1)}
    known = learnt(wrong, told_on=FIRST)  # before anything of it is learnt
    late = learnt(wrong, told_on=FIRST + 10, packed_on=packed_on)
    assert pack("m", [m.state() for m in late.values()]) == pack("m", [m.state() for m in known.values()])
    assert pack("m", [m.state() for m in late.values()]) != pack("m", [m.state() for m in learnt({}, FIRST).values()])


def test_a_contact_that_came_after_a_late_cancellation_is_no_treatment() -> None:
    """As if it had been known, under a policy that heeds it; the treatment of all others stays what it was."""
    config = ModelConfig(warmup_outcomes=10, warmup_churned=1, treated_examples="leave_out")
    contacted = day_block(FIRST)
    contacted = replace(contacted, treated=~contacted.churned)
    gone = contacted.ids[int(np.flatnonzero(contacted.treated)[0])]
    is_gone = np.array([account == gone for account in contacted.ids])
    found = {}
    for treated in (True, False):
        late, corrections = {"online-logistic": Contender("online-logistic", config, "matured")}, Corrections()
        corrections.before(FIRST, contacted, late)
        late["online-logistic"].learn(TrainingBatch(contacted, NONE, NONE, NONE, np.full(20, np.nan)))
        assert corrections.relearn({(FIRST - 60, gone): treated}, late) == 1
        known = Contender("online-logistic", config, "matured")
        labels = replace(
            contacted,
            churned=contacted.churned | is_gone,
            treated=np.where(is_gone, treated, contacted.treated),
        )
        known.learn(TrainingBatch(labels, NONE, NONE, NONE, np.full(20, np.nan)))
        found[treated] = pack("m", late["online-logistic"].state())
        assert found[treated] == pack("m", known.state())
    assert found[True] != found[False]


def test_nothing_to_correct_changes_nothing() -> None:
    models, corrections = contenders(), Corrections()
    assert corrections.relearn({(FIRST, "a00001"): False}, models) == 0
    corrections.before(FIRST, day_block(FIRST), models)
    gone = next(a for a, churned in zip(day_block(FIRST).ids, day_block(FIRST).churned, strict=True) if churned)
    assert corrections.relearn({(FIRST - 60, gone): False, (FIRST - 60, "nobody"): True}, models) == 0


def test_what_is_kept_is_bounded() -> None:
    models, corrections = contenders(), Corrections()
    for day in range(FIRST, FIRST + 40):
        corrections.before(day, day_block(day), models)
    assert [day for day, _, _ in corrections.state()["days"]] == list(range(FIRST + 39 - CORRECTION_DAYS, FIRST + 40))


def test_a_model_that_began_since_is_left_alone() -> None:
    models, corrections = contenders(), Corrections()
    corrections.before(FIRST, day_block(FIRST), models)
    corrections.forget("gradient-logistic")
    before = pack("m", models["gradient-logistic"].state())
    assert corrections.relearn({(FIRST - 60, account): False for account in stayers(FIRST, 1)}, models) == 1
    assert pack("m", models["gradient-logistic"].state()) == before
