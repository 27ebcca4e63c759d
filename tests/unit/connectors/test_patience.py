"""The retry of the connectors: bounds, pauses and reports."""

from __future__ import annotations

import time

import pytest

from c360_stream.connectors.patience import Patience
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.errors import TransportError


class BusyError(Exception):
    """A failure that passes."""


class Steps:
    """A step that fails some times before it succeeds."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[float] = []

    def __call__(self) -> str:
        self.calls.append(time.monotonic())
        if len(self.calls) <= self.failures:
            raise BusyError(f"attempt {len(self.calls)}")
        return "done"

    @property
    def pauses(self) -> list[float]:
        return [after - before for before, after in zip(self.calls, self.calls[1:], strict=False)]


class OfTests(Patience[BusyError]):
    """Waits for what raises `BusyError`."""

    def __init__(self, seconds_max: float, waiting: Waiting = wait_patiently) -> None:
        super().__init__(
            BusyError, seconds_max=seconds_max, waiting=waiting, pause_seconds=0.01, pause_seconds_max=0.04
        )
        self.observed: list[str] = []

    def observe(self, error: BusyError) -> str:
        self.observed.append(str(error))
        return f"busy: {error}"

    def exhausted(self, error: BusyError) -> TransportError:
        return TransportError(f"gave up after {error}")


def may_pass(_: BusyError) -> None:
    """Every failure may pass."""


def test_pauses_double_up_to_their_maximum() -> None:
    step, reasons = Steps(4), list[str]()
    patience = OfTests(60, reasons.append)
    assert patience.run(step, may_pass) == "done"
    for pause, least in zip(step.pauses, (0.01, 0.02, 0.04, 0.04), strict=True):
        assert pause >= least
    assert patience.observed == [f"attempt {i}" for i in (1, 2, 3, 4)]
    assert reasons == [f"busy: attempt {i}" for i in (1, 2, 3, 4)]


def test_a_final_failure_is_not_repeated() -> None:
    step = Steps(1)
    with pytest.raises(PermissionError) as refused:
        OfTests(60).run(step, lambda error: PermissionError(str(error)))
    assert isinstance(refused.value.__cause__, BusyError)
    assert len(step.calls) == 1


def test_the_time_without_progress_is_bounded() -> None:
    step = Steps(1_000)
    began = time.monotonic()
    with pytest.raises(TransportError, match="gave up after attempt") as refused:
        OfTests(0.1).run(step, may_pass)
    assert time.monotonic() - began >= 0.1
    assert isinstance(refused.value.__cause__, BusyError)


def test_without_time_the_first_failure_is_final() -> None:
    step = Steps(1)
    with pytest.raises(TransportError, match="gave up after attempt 1"):
        OfTests(0).run(step, may_pass)
    assert len(step.calls) == 1


def test_only_more_than_ever_before_is_progress() -> None:
    patience = OfTests(60)
    patience.progress(5)
    left = patience.left_seconds()
    patience.progress(5)
    assert patience.left_seconds() <= left
    time.sleep(0.01)
    patience.progress(6)
    assert patience.left_seconds() == pytest.approx(60)


def test_other_failures_go_through() -> None:
    def step() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        OfTests(60).run(step, may_pass)


def test_what_a_report_raises_ends_the_wait() -> None:
    def stop(reason: str) -> None:
        raise InterruptedError(reason)

    with pytest.raises(InterruptedError, match="busy: attempt 1"):
        OfTests(60, stop).run(Steps(1), may_pass)
