"""Billing events: contracts, invoices, renewals."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from c360_stream.tools.simulate import hazard
from c360_stream.tools.simulate.causes import main_cause
from c360_stream.tools.simulate.events import DayEvents, Notebook, times_of_day
from c360_stream.tools.simulate.lifecycle import Lifecycle
from c360_stream.tools.simulate.population import PLANS, SEAT_PRICE_CENTS, TERMS, Floats, Ints, Population
from c360_stream.tools.simulate.scenario import LARGE_SEATS, SimulationSpec

ATTEMPTS_MAX = 4
RETRY_DAYS = 3
RETRY_FAILS = 0.4
PRICE_RISE = 1.25
_REASONS = (b"missing_features", b"not_using_it", b"budget", b"switched_vendor", b"support_experience")
# Of those who leave, how many give the true cause where reasons are true; some of the others give any.
TRUE_SHARE = 0.7


class Billing:
    """Draws contracts, invoices, seat changes and renewals; counts failed payments into the lifecycle."""

    def __init__(self, spec: SimulationSpec, population: Population, rng: np.random.Generator) -> None:
        self._spec = spec
        self._population = population
        self._rng = rng
        self._plan: Ints = population.plan.copy()
        self._seats: Ints = population.seats.copy()
        self._discount: Floats = rng.uniform(0.8, 1.0, spec.accounts)
        self._raised = np.zeros(spec.accounts, np.bool_)
        self._attempt = np.ones(spec.accounts, np.int64)
        self._retry_on = np.full(spec.accounts, -1)

    def day(self, lifecycle: Lifecycle, day: int, starting: Ints, leaving: Ints) -> DayEvents:
        """Draw a day's billing events; some may fall outside an account's time as a customer."""
        notes = Notebook()
        at_ms = times_of_day(self._rng, self._spec.accounts)
        self._start(notes, lifecycle, day, starting)
        self._bill(notes, lifecycle, day, at_ms)
        self._renew(notes, lifecycle, day, at_ms)
        self._resize(notes, lifecycle, at_ms)
        self._leave(notes, lifecycle, leaving)
        return notes.events()

    def _mrr_cents(self, account: int) -> int:
        price = SEAT_PRICE_CENTS[self._plan[account]] * self._discount[account]
        return int(price * (PRICE_RISE if self._raised[account] else 1.0)) * int(self._seats[account])

    def _renewal_at(self, day: int) -> bytes:
        return (self._spec.start + timedelta(days=day)).isoformat().encode() + b"T00:00:00Z"

    def _start(self, notes: Notebook, lifecycle: Lifecycle, day: int, starting: Ints) -> None:
        price_day = self._spec.price_day
        for account in starting.tolist():
            self._raised[account] = price_day is not None and day >= price_day
            self._attempt[account], self._retry_on[account] = 1, -1
            fields = b',"plan":"%s","mrr_cents":%d,"seats":%d' % (
                PLANS[self._plan[account]].encode(),
                self._mrr_cents(account),
                self._seats[account],
            )
            term = int(self._population.term_days[account])
            if term:
                fields += b',"renewal_at":"%s"' % self._renewal_at(day + term)
            if self._spec.world.terms:
                fields += b',"contract":"%s"' % TERMS[term].encode()
            notes.note(int(lifecycle.live_from_ms[account]), account, b"subscription_started", fields)

    def _bill(self, notes: Notebook, lifecycle: Lifecycle, day: int, at_ms: Ints) -> None:
        fresh = lifecycle.age % hazard.BILLING_DAYS == 0
        due = lifecycle.active & (fresh | (self._retry_on == day))
        self._attempt[fresh] = 1
        fails = np.where(self._attempt > 1, RETRY_FAILS, self._population.failure_rate)
        failed = self._rng.random(len(due)) < fails
        lifecycle.failures[due & failed] += 1.0
        price_day = self._spec.price_day
        for account in np.flatnonzero(due).tolist():
            # The first invoice goes out when the subscription starts.
            when = max(int(at_ms[account]), int(lifecycle.live_from_ms[account]) + 1500)
            if price_day is not None and day >= price_day and not self._raised[account]:
                self._raised[account] = True
                changed = b',"mrr_cents":%d' % self._mrr_cents(account)
                notes.note(when - 1000, account, b"subscription_changed", changed)
            attempt = int(self._attempt[account])
            fields = b',"amount_cents":%d,"attempt":%d' % (self._mrr_cents(account), attempt)
            retry = failed[account] and attempt < ATTEMPTS_MAX
            self._attempt[account] = attempt + 1 if retry else 1
            self._retry_on[account] = day + RETRY_DAYS if retry else -1
            notes.note(when, account, b"invoice_payment_failed" if failed[account] else b"invoice_paid", fields)

    def _renew(self, notes: Notebook, lifecycle: Lifecycle, day: int, at_ms: Ints) -> None:
        term = self._population.term_days
        due = lifecycle.active & (term > 0) & (lifecycle.age % np.maximum(term, 1) == 0)
        for account in np.flatnonzero(due & (lifecycle.age > 0)).tolist():
            fields = b',"renewal_at":"%s"' % self._renewal_at(day + int(term[account]))
            notes.note(int(at_ms[account]), account, b"subscription_changed", fields)

    def _resize(self, notes: Notebook, lifecycle: Lifecycle, at_ms: Ints) -> None:
        """More seats where it goes well, fewer where it does not; now and then with a change of plan."""
        count = self._spec.accounts
        coin, amount, move = self._rng.random(count), self._rng.uniform(0.1, 0.4, count), self._rng.random(count)
        grow = coin < np.where(lifecycle.engagement > 0.2, 0.003, 0.0008)
        small, large = self._spec.world.shrinking
        often = np.where(self._population.seats >= LARGE_SEATS, large, small)
        shrink = coin > 1 - np.where(lifecycle.regime == 1, 0.006, 0.0006) * often
        settled = lifecycle.active & (lifecycle.age > 14)
        for account in np.flatnonzero(settled & (grow | shrink)).tolist():
            sign = 1 if grow[account] else -1
            seats = int(self._seats[account])
            change = max(1, round(seats * float(amount[account])))
            if sign < 0 and seats - change < 1:
                continue
            self._seats[account] = seats + sign * change
            fields = b""
            if move[account] < 0.2:
                self._plan[account] = min(max(int(self._plan[account]) + sign, 0), len(PLANS) - 1)
                fields = b',"plan":"%s"' % PLANS[self._plan[account]].encode()
            fields += b',"mrr_cents":%d,"seats":%d' % (self._mrr_cents(account), self._seats[account])
            notes.note(int(at_ms[account]), account, b"subscription_changed", fields)

    def _leave(self, notes: Notebook, lifecycle: Lifecycle, leaving: Ints) -> None:
        whim = self._rng.random(self._spec.accounts)
        for account in leaving.tolist():
            reason = b""
            if whim[account] < TRUE_SHARE and self._spec.world.true_reasons:
                reason = b',"reason":"%s"' % main_cause(lifecycle, self._population, account).encode()
            elif whim[account] < 0.85:
                reason = b',"reason":"%s"' % _REASONS[int(whim[account] / 0.85 * len(_REASONS))]
            notes.note(int(lifecycle.live_until_ms[account]), account, b"subscription_cancelled", reason)
