"""What an account shard emits: ticks, examples, closed hours, intraday rows and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import DeadLetter
from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.contacts import Group
from c360_stream.labels.ledger import KnownLabels


@dataclass(slots=True)
class TickLabels:
    """What a tick has made known of earlier as-ofs.

    Parameters
    ----------
    known
        Labels that became known, of all accounts.
    matured
        Those of the m examples that matured; all share their as-of.
    mrr_cents
        float64, shape (m,): MRR of each at the as-of.
    group
        The group of each in a comparison of contacted and other accounts, see `Contacts.groups`.
    plan
        The present plan of each, empty if unknown.
    opened
        Number of examples taken at this tick.
    """

    known: KnownLabels
    matured: KnownLabels
    mrr_cents: NDArray[np.float64]
    group: list[Group]
    plan: list[str]
    opened: int


@dataclass(slots=True)
class TickRows:
    """One shard's accounts at a tick, for scoring. Rows are in ascending order of account id.

    Parameters
    ----------
    account
        int32, shape (n,): index of each active account.
    new_ids
        Ids of the accounts that have joined the shard since the last message: the next indices.
    features
        float64, shape (n, 21).
    gone
        Accounts whose subscription was cancelled since the last tick.
    labels
        What became known; the scores have no part in it.
    """

    shard: int
    day: int
    account: NDArray[np.int32]
    new_ids: list[str]
    features: NDArray[np.float64]
    gone: NDArray[np.int32]
    labels: TickLabels


@dataclass(slots=True)
class TickExamples:
    """One shard's part of what the learner learns at a tick, and the sign that the shard has closed it.

    Parameters
    ----------
    matured
        Examples whose horizon has passed, with their label.
    opened
        Examples taken at this very tick; none has a label yet.
    week_old
        Examples that are a week old (`LabelLedger.hazard_days`), and whether their account has cancelled by then.
    churned_before_horizon
        Examples whose account cancelled before their horizon had passed.
    corrected_as_of, corrected_ids, corrected_treated
        Examples that had matured as stayed, though a cancellation came late: as-of day and account of each, and whether
        it was contacted before that cancellation.
    observed_ids, observed_after
        Examples whose longest horizon has passed (`LabelLedger.reach_days`): account, and days to its cancellation.
    late_days
        Of each cancellation that arrived on the day that ends: whole days by which it came late; in no particular
        order.
    events_by_topic
        Events of the day that ends.
    """

    shard: int
    day: int
    matured: ExampleBlock
    opened: ExampleBlock
    week_old: ExampleBlock
    churned_before_horizon: ExampleBlock
    corrected_as_of: list[int]
    corrected_ids: list[str]
    corrected_treated: list[bool]
    observed_ids: list[str]
    observed_after: list[int]
    late_days: list[int]
    events_by_topic: list[int]


@dataclass(slots=True)
class HourCounts:
    """Events by topic (rows) and closed hour (columns), of one shard; int64 of shape (3, hours)."""

    shard: int
    first_hour: int
    counts: NDArray[np.int64]


@dataclass(slots=True)
class IntradayRows:
    """Accounts that events moved between ticks, as `TickRows`; `as_of_us` is int64 of shape (n,)."""

    shard: int
    account: NDArray[np.int32]
    new_ids: list[str]
    as_of_us: NDArray[np.int64]
    features: NDArray[np.float64]


@dataclass(slots=True)
class FinalLabels:
    """Labels that are known at the end of the input and that no tick has emitted."""

    shard: int
    time_us: int
    known: KnownLabels


Emission = TickRows | TickExamples | HourCounts | IntradayRows | FinalLabels | DeadLetter
