"""Seeded input for the benchmarks: event lines of realistic size, spread and flaws, made in a few seconds.

The simulator makes companies whose churn can be learnt; here only the load matters: how long a line is, how many
accounts and users a batch touches, how the time goes on, what is wrong. So every field is drawn at once, a column at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.settings import Settings
from c360_stream.tools.bench import flaws

START_DAY = 20_148
"""2025-03-01, in days since the Unix epoch."""
DAY_MS = 86_400_000
BILLING_PER_ACCOUNT_DAY = 0.05
SUPPORT_PER_ACCOUNT_DAY = 0.03
TAIL = 1 / 1.1
"""Users of an account go by its rank to this power: of 5,000 accounts half have one or two, and the largest 2,300."""
FEATURE_SHARE = 0.6
"""Of the product events: those that name their feature category."""

# The simulator's most frequent event types and some of every feature category. Repeats are weights.
_PRODUCT_TYPES = (
    *("page_viewed",) * 8,
    *("session_start", "task_created", "task_created", "task_completed", "comment_added", "comment_added"),
    *("file_uploaded", "board_opened", "board_card_moved", "dashboard_viewed", "report_built", "api_called"),
    *("timeline_opened", "gantt_opened", "automation_run", "form_sent", "invite_sent", "export_requested"),
)
_FEATURES = (
    *("kanban_boards", "gantt_charts", "timelines", "automations", "forms", "dashboards", "integrations", "reports"),
    *("api_access", "team_invites", "search", "mobile_app", "templates", "single_sign_on"),
)
_SUPPORT = (
    '"event_type":"ticket_opened","ticket_id":"T-{n}","priority":"normal","subject":"A question about sharing"',
    '"event_type":"ticket_opened","ticket_id":"T-{n}","priority":"urgent","subject":"Nobody can log in"',
    '"event_type":"ticket_solved","ticket_id":"T-{n}"',
    '"event_type":"csat_submitted","score":4,"ticket_id":"T-{n}"',
    '"event_type":"nps_submitted","score":8,"comment":"does what it should"',
)
_BILLING = (
    '"event_type":"invoice_paid","amount_cents":49900,"attempt":1',
    '"event_type":"invoice_paid","amount_cents":129900,"attempt":1',
    '"event_type":"invoice_payment_failed","amount_cents":49900,"attempt":1',
    '"event_type":"subscription_changed","mrr_cents":39900,"seats":12',
)


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How much to make.

    Parameters
    ----------
    accounts
        Accounts; they differ in size as customers do: a few are large, and most have a user or two.
    product_events
        Lines of the product topic, spread over the days and the accounts in proportion to their size. A line has about
        200 bytes. Billing and support events come on top: every subscription starts, then some 8% of an event
        per account and day.
    days, seed, partitions
        Days, seed of the draws, partitions per topic.
    clean
        Without flaws, features and a long tail (sizes log-normal, 1 to some hundred users): the data of the figures
        up to version 0.9, kept to compare with them.
    start_day
        Days since 1970 of the first one.
    """

    accounts: int
    product_events: int
    days: int = 4
    seed: int = 1
    partitions: int = 4
    clean: bool = False
    start_day: int = START_DAY

    def parameters(self, counts: Counts) -> dict[str, Any]:
        """The parameters of a result: the input, and its size."""
        return {
            "accounts": self.accounts,
            "events": counts.lines,
            "product_events": self.product_events,
            "bytes_per_event": round(counts.bytes / counts.lines),
            "late": counts.late,
            "duplicates": counts.duplicates,
            "refused": counts.refused,
            "days": self.days,
            "partitions": self.partitions,
            "seed": self.seed,
        }


class Counts(NamedTuple):
    """Lines of a sample or a part of it, their bytes, and how many of them have which flaw."""

    lines: int = 0
    bytes: int = 0
    late: int = 0
    duplicates: int = 0
    refused: int = 0

    @property
    def accepted(self) -> int:
        """Lines that the flow accepts, duplicates included."""
        return self.lines - self.refused

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*map(sum, zip(self, other, strict=True)))


class Drawn(NamedTuple):
    """Lines of a topic by partition, in the order in which they arrive, without line ends; and their counts."""

    by_partition: list[list[bytes]]
    counts: Counts


NEXT_TO_NOTHING = SampleSpec(accounts=4, product_events=16, days=1)
"""For runs that measure start and end."""


class Sample:
    """Draws the events of a spec.

    >>> a, b = (Sample(SampleSpec(accounts=10, product_events=100)).lines("product") for _ in range(2))
    >>> a == b, sum(map(len, a))
    (True, 100)
    """

    def __init__(self, spec: SampleSpec) -> None:
        self.spec = spec
        rng = np.random.default_rng([spec.seed, 0])
        self._users = (
            np.clip(rng.lognormal(2.0, 0.9, spec.accounts), 1, 400).astype(np.int64)
            if spec.clean
            else rng.permutation((spec.accounts / np.arange(1, spec.accounts + 1)) ** TAIL).astype(np.int64)
        )
        self._first_user = np.concatenate([[0], np.cumsum(self._users)])

    def lines(self, kind: InputKind) -> list[list[bytes]]:
        """The lines of a topic by partition, in the order in which they arrive, without line ends."""
        return self.drawn(kind).by_partition

    def drawn(self, kind: InputKind) -> Drawn:
        """The lines of a topic, and their counts."""
        spec = self.spec
        rng = np.random.default_rng([spec.seed, 1 + INPUT_KINDS.index(kind)])
        return self._drawn(kind, rng, range(spec.days), spec.product_events, f"{kind[0]}-{spec.seed:x}")

    def day_drawn(self, kind: InputKind, day: int) -> Drawn:
        """The lines of one of the days: drawn for themselves, so that a long log is never in memory."""
        spec = self.spec
        rng = np.random.default_rng([spec.seed, 1 + INPUT_KINDS.index(kind), day])
        share = spec.product_events // spec.days
        return self._drawn(kind, rng, range(day, day + 1), share, f"{kind[0]}-{spec.seed:x}-{day:x}")

    def _drawn(self, kind: InputKind, rng: np.random.Generator, days: range, product_events: int, ids: str) -> Drawn:
        spec = self.spec
        starts = spec.accounts if kind == "billing" and days[0] == 0 else 0
        account, body = (
            self._product(rng, product_events) if kind == "product" else self._few(rng, kind, len(days), starts > 0)
        )
        at_ms = np.sort(rng.integers(days[0] * DAY_MS, (days[-1] + 1) * DAY_MS, len(account)))
        at_ms[:starts] = at_ms[0] if len(at_ms) else 0  # subscriptions start before anything else is billed
        occurred_ms = at_ms if spec.clean else np.append(at_ms[:starts], flaws.set_back(rng, at_ms[starts:]))
        owner = account.tolist()
        lines = [
            f'{{"event_id":"{ids}-{number:012x}","account_id":"acct-{name:06d}","occurred_at":"{time}Z",{rest}}}'.encode()
            for number, (name, time, rest) in enumerate(
                zip(owner, _rfc3339(spec.start_day, occurred_ms), body, strict=True)
            )
        ]
        again, bad = ([], []) if spec.clean else _spoil(rng, lines, owner, at_ms, starts)
        by_partition: list[list[bytes]] = [[] for _ in range(spec.partitions)]
        for name, line in zip(owner, lines, strict=True):
            by_partition[name % spec.partitions].append(line)
        late = occurred_ms < at_ms
        late[[*again, *bad]] = False
        size = sum(map(len, lines)) + len(lines)
        return Drawn(by_partition, Counts(len(lines), size, int(late.sum()), len(again), len(bad)))

    def _product(self, rng: np.random.Generator, events: int) -> tuple[NDArray[np.int64], list[str]]:
        account, user = self.draw_users(rng, events)
        kinds = [f'"event_type":"{name}","user_id":"user-' for name in _PRODUCT_TYPES]
        kind = rng.integers(0, len(kinds), len(user)).tolist()
        session = rng.integers(0, 1 << 32, len(user)).tolist()
        named = [""] * len(user) if self.spec.clean else _named_features(rng, len(user))
        body = [
            f'{kinds[k]}{u:08d}",{f}"properties":{{"client":"web","session":"{s:08x}"}}'
            for k, u, f, s in zip(kind, user.tolist(), named, session, strict=True)
        ]
        return account, body

    def draw_users(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Accounts and users of so many product events: large accounts have more."""
        user = rng.integers(0, self._first_user[-1], count)
        return np.searchsorted(self._first_user, user, side="right") - 1, user

    def _few(
        self, rng: np.random.Generator, kind: InputKind, days: int, starts: bool
    ) -> tuple[NDArray[np.int64], list[str]]:
        spec = self.spec
        shapes, share = (
            (_BILLING, BILLING_PER_ACCOUNT_DAY) if kind == "billing" else (_SUPPORT, SUPPORT_PER_ACCOUNT_DAY)
        )
        # At least one an hour, so that the topic's time goes on.
        later = max(24 * days * spec.partitions, int(share * spec.accounts * days))
        account = rng.integers(0, spec.accounts, later)
        body = [shapes[k].format(n=n) for n, k in enumerate(rng.integers(0, len(shapes), later).tolist())]
        if kind == "billing" and starts:
            account = np.concatenate([np.arange(spec.accounts), account])
            body = [*map(_started, self._users.tolist()), *body]
        return account, body

    def write(self, settings: Settings) -> Counts:
        """Write the three topics to the log directory of `settings`; give what they came to."""
        counts = Counts()
        for kind in INPUT_KINDS:
            folder: Path = settings.log_dir / settings.input_topic(kind)
            folder.mkdir(parents=True)
            drawn = self.drawn(kind)
            for partition, lines in enumerate(drawn.by_partition):
                (folder / f"{partition}.jsonl").write_bytes(b"".join([line + b"\n" for line in lines]))
            counts = counts.plus(drawn.counts)
        return counts

    def write_by_day(self, settings: Settings) -> Iterator[Counts]:
        """Write the three topics a day at a time; give what each day came to."""
        for kind in INPUT_KINDS:
            (settings.log_dir / settings.input_topic(kind)).mkdir(parents=True)
        for day in range(self.spec.days):
            counts = Counts()
            for kind in INPUT_KINDS:
                drawn = self.day_drawn(kind, day)
                for partition, lines in enumerate(drawn.by_partition):
                    with (settings.log_dir / settings.input_topic(kind) / f"{partition}.jsonl").open("ab") as file:
                        file.write(b"".join([line + b"\n" for line in lines]))
                counts = counts.plus(drawn.counts)
            yield counts

    def append_morning(self, settings: Settings) -> int:
        """Append an event to every partition, on the morning after the last day: time passes midnight; their number."""
        moment = _rfc3339(self.spec.start_day, np.array([self.spec.days * DAY_MS + DAY_MS // 2]))[0]
        bodies = {
            "product": '"event_type":"page_viewed","user_id":"user-00000000"',
            "billing": '"event_type":"invoice_paid","amount_cents":100',
            "support": '"event_type":"ticket_solved","ticket_id":"T-0"',
        }
        for kind in INPUT_KINDS:
            for partition in range(self.spec.partitions):
                line = (
                    f'{{"event_id":"morning-{kind}-{partition}","account_id":"acct-{partition:06d}",'
                    f'"occurred_at":"{moment}Z",{bodies[kind]}}}\n'
                )
                with (settings.log_dir / settings.input_topic(kind) / f"{partition}.jsonl").open("ab") as file:
                    file.write(line.encode())
        return len(INPUT_KINDS) * self.spec.partitions


def _named_features(rng: np.random.Generator, events: int) -> list[str]:
    """The field `feature` of each event, or nothing."""
    fields = np.array([f'"feature":"{name}",' for name in _FEATURES])
    named: list[str] = np.where(
        rng.random(events) < FEATURE_SHARE, fields[rng.integers(0, len(fields), events)], ""
    ).tolist()
    return named


def _spoil(
    rng: np.random.Generator, lines: list[bytes], owner: list[int], at_ms: NDArray[np.int64], starts: int
) -> tuple[list[int], list[int]]:
    """Put duplicates and what is to be refused in the place of lines behind the first ones; the positions of each."""
    again = {place: source for place, source in flaws.repeats(rng, at_ms).items() if place >= starts}
    for place, source in again.items():
        lines[place], owner[place] = lines[source], owner[source]
    kept = {*again, *again.values()}
    bad = [place for place in flaws.refused(rng, len(lines)).tolist() if place >= starts and place not in kept]
    for way, place in enumerate(bad):
        lines[place] = flaws.spoilt(lines[place], way)
    return list(again), bad


def _started(users: int) -> str:
    seats = users + users // 4 + 1
    return f'"event_type":"subscription_started","plan":"team","mrr_cents":{900 * seats},"seats":{seats}'


def _rfc3339(start_day: int, at_ms: NDArray[np.int64]) -> list[str]:
    moments: list[str] = np.datetime_as_string((start_day * DAY_MS + at_ms).astype("datetime64[ms]")).tolist()
    return moments
