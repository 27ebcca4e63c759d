"""What counts how much in an account's hazard: the weights that a scenario may set otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weights:
    """Parts of the log of the daily hazard; see `hazard`. The defaults are the steady world's.

    Parameters
    ----------
    base
        The hazard's level.
    engagement
        Of one unit of engagement, downwards: positive means that engaged accounts stay.
    intense, intense_from
        Of one unit of engagement above `intense_from`, upwards: the other arm of a U.
    adoption
        Of the adopted share of the categories at the account's age, about its mean of 0.4.
    ceiling
        Of the share that it adopts in the end, about 0.4: the same without any effect of age.
    fill, misfill
        Of users a seat at signing, about 0.72; and of the distance from 0.72 in either direction, about 0.16.
    fit
        Of how well the product fits.
    plan
        Of a step up among the plans, about 0.8.
    plans
        Instead of `plan`: of each of the plans.
    size
        Of a doubling of the seats, about 10.
    calls
        Of the distance of the log of an account's habit of asking questions from its mean, in deviations, about 0.8.
    young
        At the start; it wears off with a time constant of 45 days.
    early, early_days
        As long as the subscription is younger than that.
    bump, bump_days, bump_width_days
        Around certain ages (a bell of that height and deviation).
    old, old_days
        From that age on.
    in_term, renewal
        As long as a term runs; and at its end, wearing off backwards with a time constant of 14 days.
    failure, incident
        Of a fresh payment failure and a fresh serious ticket.
    """

    base: float = -8.35
    engagement: float = 2.2
    intense: float = 0.0
    intense_from: float = 0.5
    adoption: float = -7.0
    ceiling: float = 0.0
    fill: float = -2.5
    misfill: float = 0.0
    fit: float = -0.15
    plan: float = -0.45
    plans: tuple[float, ...] = ()
    size: float = 0.0
    calls: float = 0.0
    young: float = 1.2
    early: float = 0.0
    early_days: int = 90
    bump: float = 0.0
    bump_days: tuple[int, ...] = ()
    bump_width_days: float = 8.0
    old: float = 0.0
    old_days: int = 300
    in_term: float = -0.5
    renewal: float = 2.4
    failure: float = 0.9
    incident: float = 0.6


@dataclass(frozen=True, slots=True)
class Playbook:
    """Something that customer success does, with a known effect.

    Parameters
    ----------
    name
        As in `success_contacted`.
    weight
        In the log hazard, on the day after; contacts add up.
    decay
        Of the effect, a factor a day.
    rate
        Contacts an account a day, whatever the account's state: so nothing but the playbook tells the contacted from
        the others.
    """

    name: str
    weight: float
    decay: float = 0.98
    rate: float = 0.006
