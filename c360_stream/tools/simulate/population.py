"""Who the accounts are: everything about them that is drawn once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PLANS = ("starter", "team", "business", "enterprise")
PLAN_SHARES = (0.45, 0.32, 0.18, 0.05)
SEATS_MEDIAN = np.array([7.0, 15.0, 36.0, 100.0])
SEAT_PRICE_CENTS = np.array([900, 1400, 2200, 3500])
ANNUAL_SHARES = np.array([0.15, 0.35, 0.6, 0.9])
YEAR_DAYS = 365
# Where contracts have several terms: shares by plan of those of 0 (monthly), 90, 365 and 730 days.
TERMS = {0: "monthly", 90: "quarterly", YEAR_DAYS: "yearly", 2 * YEAR_DAYS: "two_years"}
TERM_SHARES = np.array([[0.6, 0.25, 0.15, 0.0], [0.4, 0.3, 0.3, 0.0], [0.15, 0.25, 0.5, 0.1], [0.0, 0.1, 0.6, 0.3]])

# Feature categories that an account may adopt, with the event types that show it. The last one has no prefix
# in the default map from event type to category: only the explicit `feature` field shows it.
CATEGORIES: dict[str, tuple[str, str]] = {
    "kanban_boards": ("board_viewed", "board_card_moved"),
    "gantt_charts": ("gantt_viewed", "gantt_edited"),
    "timelines": ("timeline_viewed", "timeline_shifted"),
    "automations": ("automation_created", "automation_run"),
    "forms": ("form_created", "form_submitted"),
    "dashboards": ("dashboard_viewed", "dashboard_edited"),
    "integrations": ("integration_connected", "integration_synced"),
    "reports": ("report_viewed", "report_scheduled"),
    "api_access": ("api_called", "api_key_created"),
    "whiteboards": ("canvas_opened", "canvas_edited"),
}


@dataclass(frozen=True, slots=True)
class Population:
    """The accounts' fixed traits; arrays over accounts, `user_*` over all users (account by account).

    Attributes
    ----------
    account_ids
        `acc-000000` and so on.
    start_day
        Day, counted from 0, of the first subscription.
    plan, seats, term_days
        First contract: index into `PLANS`, bought seats, days to its renewal date (0: monthly, without such a date).
    fill
        Users per seat at signing, 0.2 to 1.1.
    fit
        How well the product fits, mean 0, deviation 1. Drives both the hazard and usage.
    ceiling, pace_days
        Share of the categories adopted in the end, and the time constant of getting there.
    category_order
        Order in which categories are adopted, shape (accounts, categories).
    failure_rate
        Probability that an invoice is not paid at first.
    incident_rate
        Serious tickets per day.
    price_sensitivity
        0..1: how much a price increase hurts (small contracts with empty seats most).
    survey_phase
        Day of the quarter on which NPS is asked.
    asking
        Habit of asking questions: log of the factor on plain tickets, in deviations (0: as the others).
    user_account, user_affinity, user_joins, user_tails
        Account of each user, how keen they are (mean 0), account age in days at which they join, and the JSON
        field that names them.
    """

    account_ids: list[bytes]
    start_day: Ints
    plan: Ints
    seats: Ints
    term_days: Ints
    fill: Floats
    fit: Floats
    ceiling: Floats
    pace_days: Floats
    category_order: Ints
    failure_rate: Floats
    incident_rate: Floats
    price_sensitivity: Floats
    survey_phase: Ints
    asking: Floats
    user_account: Ints
    user_affinity: Floats
    user_joins: Floats
    user_tails: list[bytes]


def draw_population(accounts: int, days: int, rng: np.random.Generator, founding_share: float = 0.65) -> Population:
    """Draw the accounts of a world.

    That share subscribes within the first 30 days, the others evenly over the rest of the period.
    """
    n = accounts
    founding = min(30, days)
    start_day = np.where(
        rng.random(n) < founding_share, rng.integers(0, founding, n), rng.integers(founding - 1, max(days, founding), n)
    )
    plan = rng.choice(len(PLANS), n, p=PLAN_SHARES)
    seats = np.maximum(2, np.rint(SEATS_MEDIAN[plan] * np.exp(rng.normal(0, 0.45, n)))).astype(np.int64)
    fill = np.clip(rng.normal(0.72, 0.2, n), 0.2, 1.1)
    users = np.maximum(1, np.rint(seats * fill)).astype(np.int64)
    ids = [b"acc-%06d" % number for number in range(n)]
    user_account = np.repeat(np.arange(n), users)
    user_count = len(user_account)
    rank = np.arange(user_count) - np.repeat(np.cumsum(users) - users, users)
    early = rng.random(user_count) < 0.55
    small = np.clip(1.0 - np.log(seats / 2) / np.log(20), 0, 1)
    return Population(
        account_ids=ids,
        start_day=start_day,
        plan=plan,
        seats=seats,
        term_days=np.where(rng.random(n) < ANNUAL_SHARES[plan], YEAR_DAYS, 0),
        fill=fill,
        fit=rng.normal(0, 1, n),
        ceiling=rng.beta(2.2, 2.0, n),
        pace_days=np.exp(rng.normal(np.log(30), 0.5, n)),
        category_order=np.argsort(rng.random((n, len(CATEGORIES))), axis=1),
        failure_rate=rng.beta(1.2, 20, n),
        incident_rate=0.007 * np.exp(rng.normal(0, 0.7, n)),
        price_sensitivity=small * np.clip((1.0 - fill) / 0.6, 0, 1),
        survey_phase=rng.integers(0, 91, n),
        asking=np.zeros(n),
        user_account=user_account,
        user_affinity=rng.normal(0, 0.6, user_count),
        user_joins=np.where((rank == 0) | early, 0.0, rng.exponential(40, user_count)),
        user_tails=[
            b',"user_id":"%s-u%d"' % (ids[account], number)
            for account, number in zip(user_account.tolist(), rank.tolist(), strict=True)
        ],
    )


def with_habits(population: Population, rng: np.random.Generator, *, asking: bool, terms: bool) -> Population:
    """Draw what only some scenarios have: habits of asking questions, contracts of several terms."""
    n = len(population.account_ids)
    habits, coin = rng.normal(0, 1, n), rng.random(n)
    if asking:
        population = replace(population, asking=habits)
    if terms:
        reached = np.cumsum(TERM_SHARES, axis=1)[population.plan, :-1]
        population = replace(population, term_days=np.array(list(TERMS))[(coin[:, None] >= reached).sum(axis=1)])
    return population
