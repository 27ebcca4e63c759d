"""The contest: paired losses decide, overlap is allowed for, and what waits is bounded."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES
from c360_stream.features.example_block import JUDGED_A_DAY_MAX, ExampleBlock
from c360_stream.learning.champion import ChampionTerm, challenge, change_alarm
from c360_stream.learning.contest import Contest
from c360_stream.state.codec import pack, unpack

HORIZON, STRIDE = 60, 7
TRUTH, GUESS, FLAT = "truth", "guess", "base-rate"
NAMES = (TRUTH, GUESS, FLAT)


def block(count: int, day: int, churned: np.ndarray | None = None) -> ExampleBlock:
    ids = [f"a{i:05d}" for i in range(count)]
    label = np.zeros(count, np.bool_) if churned is None else churned
    rows = np.zeros((count, len(FEATURES)))
    return ExampleBlock(np.full(count, day, np.int64), ids, rows, label, np.zeros(count, np.bool_))


def held(days: int, noise: float, seed: int = 1, accounts: int = 100, contest: Contest | None = None) -> Contest:
    """A contest in which one model says the truth, one that and noise, one the same of everybody."""
    contest = contest or Contest(NAMES, HORIZON, STRIDE)
    rng = np.random.default_rng(seed)
    for day in range(days):
        truth = rng.beta(1, 9, accounts)
        churned = rng.random(accounts) < truth
        log_odds = np.log(truth / (1 - truth)) + noise * rng.normal(size=accounts)
        risk = {TRUTH: truth, GUESS: 1 / (1 + np.exp(-log_odds)), FLAT: np.full(accounts, 0.1)}
        contest.add_predictions(day, block(accounts, day), risk, {})
        predictions = contest.pop_predictions(day, block(accounts, day, churned))
        contest.fade()
        contest.judge(predictions, churned[predictions.rows])
    return contest


def test_the_better_model_gains() -> None:
    contest = held(200, noise=1.0)
    standing = contest.standing(TRUTH, GUESS)
    assert standing.gain > 0
    assert standing.t > 3
    other = contest.standing(GUESS, TRUTH)
    assert (other.gain, other.examples) == (-standing.gain, standing.examples)
    assert other.t == pytest.approx(-standing.t)
    assert contest.loss(TRUTH) < contest.loss(GUESS)
    assert contest.loss(TRUTH) < contest.loss(FLAT)


def test_equals_are_hardly_ever_told_apart() -> None:
    """Two models that differ by noise alone: the overlap makes the test conservative."""
    found = []
    for seed in range(30):
        contest, rng = Contest(("a", "b"), HORIZON, STRIDE), np.random.default_rng(seed)
        for day in range(100):
            truth = rng.beta(1, 9, 50)
            risk = {name: np.clip(truth * np.exp(0.3 * rng.normal(size=50)), 0.001, 0.999) for name in "ab"}
            churned = rng.random(50) < truth
            contest.add_predictions(day, block(50, day), risk, {})
            contest.judge(contest.pop_predictions(day, block(50, day)), churned)
        found.append(abs(contest.standing("a", "b").t))
    assert max(found) < 3, found


def test_outcomes_fade() -> None:
    contest = held(90, noise=0.5)
    before = contest.standing(TRUTH, GUESS)
    for _ in range(90):
        contest.fade()
    after = contest.standing(TRUTH, GUESS)
    assert after.examples == pytest.approx(before.examples / 2)
    assert after.gain == pytest.approx(before.gain)


def test_what_was_not_said_is_not_judged() -> None:
    contest = Contest(NAMES, HORIZON, STRIDE)
    contest.add_predictions(5, block(3, 5), {TRUTH: np.array([0.1, np.nan, 0.3])}, {TRUTH: np.array([-2.0, -1.0, 0.0])})
    assert len(contest.pop_predictions(6, block(3, 6)).rows) == 0
    matured = block(4, 5)  # one more account than were noted
    predictions = contest.pop_predictions(5, matured)
    assert predictions.rows.tolist() == [0, 1, 2]
    assert predictions.raw[TRUTH].tolist() == [-2.0, -1.0, 0.0]
    contest.judge(predictions, np.zeros(3, np.bool_))
    assert contest.loss(TRUTH) == pytest.approx(-(np.log(0.9) + np.log(0.7)) / 2)
    assert np.isnan(contest.loss(GUESS))


def test_of_many_examples_some_are_drawn_whatever_their_order() -> None:
    many = block(JUDGED_A_DAY_MAX + 500, 1)
    risk = np.linspace(0.1, 0.9, len(many))
    drawn = []
    for order in (np.arange(len(many)), np.arange(len(many))[::2]):
        contest = Contest((TRUTH,), HORIZON, STRIDE)
        contest.add_predictions(1, many.take(order), {TRUTH: risk[order]}, {})
        drawn.append({many.take(order).ids[row] for row in contest.pop_predictions(1, many.take(order)).rows})
    assert len(drawn[0]) == JUDGED_A_DAY_MAX
    assert drawn[0] & set(many.ids[::2]) <= drawn[1], "an account is drawn by its own hash"


def test_a_model_that_begins_afresh_has_no_past() -> None:
    contest = held(100, noise=1.0)
    contest.add_predictions(200, block(2, 200), {GUESS: np.full(2, 0.2)}, {})
    contest.reset(GUESS)
    contest.reset("new")
    assert contest.standing(GUESS, TRUTH).examples == 0
    assert contest.standing(FLAT, TRUTH).examples > 0
    assert np.isnan(contest.loss("new"))
    assert np.isnan(contest.pop_predictions(200, block(2, 200)).risk[GUESS]).all()


def test_goes_on_from_a_packed_state() -> None:
    contest, resumed = held(20, 0.5), Contest(NAMES, HORIZON, STRIDE)
    contest.add_predictions(70, block(4, 70), dict.fromkeys(NAMES, np.full(4, 0.2)), {})
    resumed.restore(unpack("learn", pack("learn", contest.state())))
    for each in (contest, resumed):
        each.judge(each.pop_predictions(70, block(4, 70)), np.ones(4, np.bool_))
        held(20, 0.5, seed=2, contest=each)
    assert pack("learn", resumed.state()) == pack("learn", contest.state())


def test_a_better_model_is_promoted_and_says_so() -> None:
    contest = held(200, noise=1.0)
    change = challenge(ChampionTerm(GUESS, 0), contest, NAMES, day=200, term_days=60)
    assert change is not None
    assert (change.old, change.new) == (GUESS, TRUTH)
    alarm = change_alarm(change, 200)
    assert (alarm.kind, alarm.subject, alarm.severity) == ("performance", TRUTH, "warning")
    assert alarm.action == f"promoted {TRUTH}; {GUESS} goes on in shadow"


def test_a_champion_that_is_worse_than_a_baseline_gives_way_to_it() -> None:
    change = challenge(ChampionTerm(GUESS, 0), held(200, noise=4.0), (GUESS, FLAT), day=200, term_days=60)
    assert change is not None
    assert change.new == FLAT
    alarm = change_alarm(change, 200)
    assert (alarm.severity, alarm.action) == ("critical", f"fell back to {FLAT}; {GUESS} goes on in shadow")


@pytest.mark.parametrize(
    ("term", "contenders", "days"),
    [
        (ChampionTerm(TRUTH, 0), NAMES, 200),
        (ChampionTerm(GUESS, 150), NAMES, 200),
        (ChampionTerm(GUESS, 0), (GUESS,), 200),
        (ChampionTerm(GUESS, 0), NAMES, 5),
    ],
    ids=["nobody is better", "new champion", "the better one has been taken out", "too few outcomes"],
)
def test_else_the_champion_stays(term: ChampionTerm, contenders: tuple[str, ...], days: int) -> None:
    assert challenge(term, held(days, noise=1.0), contenders, day=200, term_days=60) is None


def test_what_was_said_can_be_asked_while_it_waits() -> None:
    contest = Contest(NAMES, HORIZON, STRIDE)
    contest.add_predictions(7, block(3, 7), {TRUTH: np.array([0.1, 0.2, 0.3])}, {})
    later = block(3, 7).take([2, 0])
    later.ids.append("new")
    asked = ExampleBlock(np.full(3, 7), later.ids, np.zeros((3, len(FEATURES))), *np.zeros((2, 3), np.bool_))
    for _ in range(2):
        np.testing.assert_array_equal(contest.pending_predictions(7, asked, TRUTH), [0.3, 0.1, np.nan])
    assert np.isnan(contest.pending_predictions(7, asked, GUESS)).all()
    assert np.isnan(contest.pending_predictions(8, asked, TRUTH)).all()
    assert len(contest.pop_predictions(7, block(3, 7)).rows) == 3
