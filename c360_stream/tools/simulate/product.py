"""Product events: who uses what today."""

from __future__ import annotations

from datetime import date

import numpy as np

from c360_stream.tools.simulate import hazard
from c360_stream.tools.simulate.events import DAY_MS, Column, DayEvents, clock
from c360_stream.tools.simulate.lifecycle import Lifecycle
from c360_stream.tools.simulate.population import CATEGORIES, Bools, Floats, Ints, Population
from c360_stream.tools.simulate.scenario import SimulationSpec

# Actions outside the feature categories, with their shares of a session.
_ACTIONS = {
    b"page_viewed": 0.34,
    b"task_created": 0.16,
    b"task_completed": 0.13,
    b"comment_added": 0.13,
    b"file_uploaded": 0.06,
    b"export_requested": 0.015,
    b"invite_sent": 0.012,
    b"search_performed": 0.153,
}
_FEATURE_SHARE = 0.4
_TYPES = [*_ACTIONS, b"session_start", b"session_end", *(t.encode() for pair in CATEGORIES.values() for t in pair)]
_PAGE, _COMMENT = 0, 3
_START, _END, _FIRST_FEATURE = len(_ACTIONS), len(_ACTIONS) + 1, len(_ACTIONS) + 2
_API, _WHITEBOARDS = list(CATEGORIES).index("api_access"), list(CATEGORIES).index("whiteboards")
_FEATURES = [b"", *(b',"feature":"%s"' % name.encode() for name in CATEGORIES)]
_REACHED = np.cumsum(list(_ACTIONS.values()))[:-1]

# With these, an average account sends this many events per day at the default session length.
_EVENTS_A_SESSION = 3.5
_DEFAULT_EVENTS = 16.0


class ProductUse:
    """Draws the product events of each day from the accounts' engagement.

    Whether a user shows up depends on the account's engagement and fit, on the user, the weekday and a wiggle
    that has nothing to do with leaving. A session is a run of actions minutes apart.
    """

    def __init__(self, spec: SimulationSpec, population: Population, rng: np.random.Generator) -> None:
        self._population = population
        self._rng = rng
        self._spec = spec
        self._wiggle: Floats = rng.normal(0, 0.23, spec.accounts)
        self._mean_actions = max(0.3, _EVENTS_A_SESSION * spec.events_per_account_day / _DEFAULT_EVENTS - 1)
        self._user_tails = [*population.user_tails, b""]

    def day(self, lifecycle: Lifecycle, today: date) -> DayEvents:
        """Draw a day's product events, before any loss by an outage."""
        rng, population = self._rng, self._population
        self._wiggle = 0.9 * self._wiggle + rng.normal(0, 0.1, len(self._wiggle))
        users = np.flatnonzero(self._shows_up(lifecycle, self._spec.usage_factor(today)))
        actions = 1 + rng.poisson(self._mean_actions * rng.gamma(1.5, 1 / 1.5, len(users)))
        user = np.repeat(users, actions)
        account = population.user_account[user]
        nth = np.arange(len(user)) - np.repeat(np.cumsum(actions) - actions, actions)
        pause_ms = np.repeat(rng.exponential(180_000, len(users)), actions)
        began_ms = np.repeat(clock(rng.random(len(users))), actions)
        at_ms = (began_ms + (nth + 0.8 * rng.random(len(user))) * pause_ms).astype(np.int64)
        event_type, feature = self._actions(lifecycle, user)
        last = nth == np.repeat(actions - 1, actions)
        event_type[last & (nth >= 2)] = _END
        event_type[(nth == 0) & ~last] = _START
        feature[(event_type == _END) | (event_type == _START)] = 0
        # Machines call the API as often as people do: those events name no user.
        machine = (event_type == _FIRST_FEATURE + 2 * _API) & (rng.random(len(user)) < 0.5)
        named = np.where(machine, len(self._user_tails) - 1, user)
        kept = at_ms < DAY_MS
        return DayEvents(
            at_ms[kept],
            account[kept],
            Column(_TYPES, event_type[kept]),
            Column(self._user_tails, named[kept]),
            Column(_FEATURES, feature[kept]),
        )

    def _shows_up(self, lifecycle: Lifecycle, factor: float) -> Bools:
        population = self._population
        keenness = -0.4 + 2.3 * lifecycle.engagement + 0.15 * population.fit + self._wiggle
        account = population.user_account
        share = factor / (1.0 + np.exp(-keenness[account] - population.user_affinity))
        joined = lifecycle.active[account] & (lifecycle.age[account] >= population.user_joins)
        return np.asarray(joined & (self._rng.random(len(account)) < share))

    def _actions(self, lifecycle: Lifecycle, user: Ints) -> tuple[Ints, Ints]:
        """Event type and explicit feature (0: none) of each action."""
        rng, population = self._rng, self._population
        account = population.user_account[user]
        share = hazard.adoption(population.ceiling, population.pace_days, lifecycle.age)
        taken_up = np.maximum(1, np.rint(share * len(CATEGORIES))).astype(np.int64)
        # The categories adopted first are used most.
        rank = (rng.random(len(user)) ** 1.2 * taken_up[account]).astype(np.int64)
        category = population.category_order[account, rank]
        verb = (rng.random(len(user)) < 0.35).astype(np.int64)
        other = np.searchsorted(_REACHED, rng.random(len(user)))
        # Not everybody comments.
        other[(other == _COMMENT) & (population.user_affinity[user] < -0.2)] = _PAGE
        uses_feature = rng.random(len(user)) < _FEATURE_SHARE
        explicit = uses_feature & ((category == _WHITEBOARDS) | (rng.random(len(user)) < 0.1))
        event_type = np.where(uses_feature, _FIRST_FEATURE + 2 * category + verb, other)
        return event_type, np.where(explicit, 1 + category, 0)
