"""Support events: tickets, satisfaction, outreach."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from c360_stream.tools.simulate.events import DayEvents, Notebook, times_of_day
from c360_stream.tools.simulate.lifecycle import Lifecycle
from c360_stream.tools.simulate.population import Bools, Floats, Ints, Population
from c360_stream.tools.simulate.scenario import SimulationSpec

_SUBJECTS = (
    b"Cannot log in",
    b"Import fails halfway",
    b"Question about permissions",
    b"Board loads slowly",
    b"Wrong amount on the invoice",
    b"How do we share a report?",
)
_COMMENTS = (b"Does what we need", b"Too slow for us", b"We miss a few features", b"Great support")
_PLAYBOOKS = (b"check_in", b"training", b"renewal_talk")
_CHANNELS = (b"email", b"call")


class SupportDesk:
    """Draws tickets and answers; counts serious tickets into the lifecycle.

    Serious tickets come by bad luck and raise the hazard; plain ones come more from accounts that use the product a
    lot or are losing heart, and move nothing.
    """

    def __init__(self, spec: SimulationSpec, population: Population, rng: np.random.Generator) -> None:
        self._world = spec.world
        self._population = population
        self._rng = rng
        self._tickets = 0
        # Open tickets by the day on which they are solved: account and ticket id.
        self._to_solve: dict[int, list[tuple[int, bytes]]] = defaultdict(list)

    def day(self, lifecycle: Lifecycle, day: int) -> DayEvents:
        """Draw a day's support events; some may fall outside an account's time as a customer."""
        notes = Notebook()
        count = len(lifecycle.active)
        mood = lifecycle.engagement + 0.5 * self._population.fit - 0.8 * lifecycle.incidents
        at_ms = times_of_day(self._rng, count)
        serious = lifecycle.active & (self._rng.random(count) < self._population.incident_rate)
        plain_rate = 0.012 * np.exp(np.clip(-0.5 * mood, -1.5, 1.2)) * np.sqrt(self._population.seats / 10)
        if self._world.ticket_spread:
            plain_rate *= 3.0 * np.exp(self._world.ticket_spread * self._population.asking)
        plain = lifecycle.active & (self._rng.random(count) < plain_rate)
        lifecycle.incidents[serious] += 1.0
        self._solve(notes, lifecycle, day, mood)
        self._open(notes, day, at_ms, serious, plain)
        self._survey(notes, lifecycle, mood)
        self._reach_out(notes, lifecycle)
        return notes.events()

    def _open(self, notes: Notebook, day: int, at_ms: Ints, serious: Bools, plain: Bools) -> None:
        for account in np.flatnonzero(serious | plain).tolist():
            rank, delay, topic = self._rng.random(3).tolist()
            if serious[account]:
                priority = b"urgent" if rank < 0.4 else b"high"
            else:
                priority = b"low" if rank < 0.35 else b"normal"
            self._tickets += 1
            ticket = b"T-%07d" % self._tickets
            fields = b',"ticket_id":"%s","priority":"%s","subject":"%s"' % (
                ticket,
                priority,
                _SUBJECTS[int(topic * len(_SUBJECTS))],
            )
            notes.note(int(at_ms[account]), account, b"ticket_opened", fields)
            if delay < 0.95:
                self._to_solve[day + 1 + int(delay * 5)].append((account, ticket))

    def _solve(self, notes: Notebook, lifecycle: Lifecycle, day: int, mood: Floats) -> None:
        for account, ticket in self._to_solve.pop(day, []):
            solved_ms = int(times_of_day(self._rng, 1)[0])
            answers, wait, noise = self._rng.random(), self._rng.random(), self._rng.normal()
            # A ticket of an account that left meanwhile is closed without a trace.
            if not lifecycle.active[account] or lifecycle.live_until_ms[account] < solved_ms:
                continue
            named = b',"ticket_id":"%s"' % ticket
            notes.note(solved_ms, account, b"ticket_solved", named)
            if answers < 0.4:
                score = int(np.clip(round(4.2 + 0.6 * float(mood[account]) + 0.8 * noise), 1, 5))
                asked_ms = solved_ms + 60_000 + int(wait * 7_200_000)
                notes.note(asked_ms, account, b"csat_submitted", b',"score":%d%s' % (score, named))

    def _survey(self, notes: Notebook, lifecycle: Lifecycle, mood: Floats) -> None:
        """NPS: everybody is asked once a quarter, half answer."""
        asked = lifecycle.active & (lifecycle.age > 13)
        asked &= (lifecycle.age + self._population.survey_phase) % 91 == 0
        for account in np.flatnonzero(asked).tolist():
            answers, topic, at_ms = self._rng.random(), self._rng.random(), times_of_day(self._rng, 1)
            score = int(np.clip(round(7.4 + 1.6 * float(mood[account]) + 1.3 * self._rng.normal()), 0, 10))
            if answers < 0.5:
                comment = b',"comment":"%s"' % _COMMENTS[int(topic * len(_COMMENTS))] if answers < 0.15 else b""
                notes.note(int(at_ms[0]), account, b"nps_submitted", b',"score":%d%s' % (score, comment))

    def _reach_out(self, notes: Notebook, lifecycle: Lifecycle) -> None:
        """Customer success calls now and then, more where it looks bad.

        It changes nothing, unless the scenario has playbooks with an effect: those are drawn by lot.
        """
        if self._world.playbooks:
            self._follow_playbooks(notes, lifecycle)
            return
        at_ms = times_of_day(self._rng, len(lifecycle.active))
        rate = np.where((lifecycle.engagement < -1.0) | (lifecycle.failures > 0.5), 0.012, 0.003)
        reached = lifecycle.active & (self._rng.random(len(rate)) < rate)
        for account in np.flatnonzero(reached).tolist():
            playbook, channel = self._rng.random(2).tolist()
            fields = b',"playbook":"%s","channel":"%s"' % (
                _PLAYBOOKS[int(playbook * len(_PLAYBOOKS))],
                _CHANNELS[int(channel * len(_CHANNELS))],
            )
            notes.note(int(at_ms[account]), account, b"success_contacted", fields)

    def _follow_playbooks(self, notes: Notebook, lifecycle: Lifecycle) -> None:
        for level, playbook in zip(lifecycle.outreach, self._world.playbooks, strict=True):
            count = len(lifecycle.active)
            at_ms, coin, channel = times_of_day(self._rng, count), self._rng.random(count), self._rng.random(count)
            reached = lifecycle.active & (coin < playbook.rate)
            # Who leaves before the call comes is not reached.
            reached &= (at_ms >= lifecycle.live_from_ms) & (at_ms <= lifecycle.live_until_ms)
            level[reached] += 1.0
            for account in np.flatnonzero(reached).tolist():
                by = _CHANNELS[int(channel[account] * len(_CHANNELS))]
                fields = b',"playbook":"%s","channel":"%s"' % (playbook.name.encode(), by)
                notes.note(int(at_ms[account]), account, b"success_contacted", fields)
