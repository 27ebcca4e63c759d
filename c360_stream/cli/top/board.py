"""The board of `c360 top`: the current content of the risk and alarm topics, the most urgent accounts first."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from c360_stream.cli.scrape import Process, process_lines
from c360_stream.cli.terminal import escaped
from c360_stream.contracts.records import TIERS
from c360_stream.logs.lines import printable

NEWS_MAX = 8
DATE_LETTERS = len("2025-06-30")
TIER_LETTERS = len("critical")
ACCOUNT_LETTERS_MIN = 20
STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green", "warning": "yellow"}
ORDER = "By tier, most MRR at risk first."
HELD = " *: the risk is below where the tier begins; the tier is kept until it has been for C360_TIER_MIN_DAYS days."


class _Reason(msgspec.Struct):
    text: str = ""


class _Score(msgspec.Struct):
    """The fields of a risk score that the board needs, or of the log directory's tombstone for one."""

    account_id: str
    tombstone: bool = False
    as_of: str = ""
    risk: float = 0.0
    tier: str = ""
    previous_tier: str | None = None
    mrr_at_risk_cents: float | None = None
    reasons: list[_Reason] = []
    mitigations: list[_Reason] = []


class _Alarm(msgspec.Struct):
    """The fields of a drift alarm that the board shows."""

    raised_at: str = ""
    kind: str = ""
    subject: str = ""
    severity: str = ""
    detail: str = ""


class _Row(msgspec.Struct, gc=False):
    """The state of an account: the shown fields of its newest score, and the score itself if it is needed."""

    as_of: str
    risk: float
    tier: str
    mrr_at_risk_cents: float | None
    reason: str
    value: bytes


class _News:
    """The newest items (moment, word to tint, what happened), added in any order; a repeat counts once."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._items: list[tuple[str, str, str, dict[str, Any]]] = []

    def add(self, moment: str, word: str, what: str, record: dict[str, Any]) -> None:
        if (moment, word, what) not in map(itemgetter(0, 1, 2), self._items):
            items = [*self._items, (moment, word, what, record)]
            self._items = sorted(items, key=itemgetter(0, 1, 2), reverse=True)[:NEWS_MAX]

    def lines(self) -> RenderableType:
        """The title and an item each, newest first."""
        if not self._items:
            return Text.assemble((f"\n {self._title}", "bold"), "\n none")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for moment, word, what, _ in self._items:
            table.add_row(_cell(moment[:DATE_LETTERS]), _tinted(word), Text(what))
        return Group(Text(f"\n {self._title}", style="bold"), Padding(table, (0, 0, 0, 1), expand=False))

    def records(self) -> list[dict[str, Any]]:
        """The items as they came, newest first."""
        return [record for *_, record in self._items]


class Board:
    """The current content of the risk and alarm topics. Memory: one short row per account, and a few news items.

    Parameters
    ----------
    rows_max
        Accounts to show.
    whole
        Whether to keep all of each account's newest score, for `record`.
    begins
        Risk at which each tier begins; a tier that is not in it begins at 0.
    """

    def __init__(self, rows_max: int, *, whole: bool = False, begins: Mapping[str, float] | None = None) -> None:
        self._begins = begins or {}
        self._rows_max = rows_max
        self._whole = whole
        self._accounts: dict[str, _Row] = {}
        self._changes = _News("Tier changes")
        self._alarms = _News("Alarms")
        self._decode_score = msgspec.json.Decoder(_Score).decode
        self._decode_alarm = msgspec.json.Decoder(_Alarm).decode

    def take_score(self, key: bytes | None, value: bytes) -> None:
        """Take a record of the risk topic; an empty value or a tombstone removes the account."""
        if not value:
            self._accounts.pop((key or b"").decode(errors="replace"), None)
            return
        try:
            score = self._decode_score(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # the board shows the records that it can read
        if score.tombstone:
            self._accounts.pop(score.account_id, None)
            return
        if score.previous_tier and score.previous_tier != score.tier:
            names = ("account_id", "as_of", "tier", "previous_tier")
            what = f"{escaped(score.account_id)}, before: {printable(score.previous_tier)}"
            self._changes.add(score.as_of, score.tier, what, {name: getattr(score, name) for name in names})
        known = self._accounts.get(score.account_id)
        if known is None or score.as_of >= known.as_of:  # a crash may repeat older scores
            kept = value if self._whole else b""
            self._accounts[score.account_id] = _Row(
                score.as_of, score.risk, score.tier, score.mrr_at_risk_cents, _why(score), kept
            )

    def take_alarm(self, value: bytes) -> None:
        """Take a record of the alarm topic."""
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            alarm = self._decode_alarm(value)
            what = printable(f"{alarm.kind} {alarm.subject}: {alarm.detail}")
            self._alarms.add(alarm.raised_at, alarm.severity, what, msgspec.json.decode(value))

    def record(self, processes: Sequence[Process]) -> dict[str, Any]:
        """The board for `--json`; scores and alarms are the topics' records, so it has to be `whole`."""
        return {
            "active_accounts": len(self._accounts),
            "mrr_at_risk_cents": self._at_risk_cents(),
            "accounts": [msgspec.json.decode(row.value) for _, row in self._first()],
            "tier_changes": self._changes.records(),
            "alarms": self._alarms.records(),
            "processes": [process.record() for process in processes],
        }

    def frame(self, processes: Sequence[Process], *, columns: int = 80, tall: bool = True) -> RenderableType:
        """One frame of the board.

        Parameters
        ----------
        processes
            The running processes.
        columns
            Width of the terminal.
        tall
            Whether a reason may take several lines. An identifier always may: it is never cut.
        """
        return Group(
            self._summary(),
            *(_cell(line) for line in process_lines(processes)),
            self._table(max(ACCOUNT_LETTERS_MIN, columns // 4), tall=tall),
            self._changes.lines(),
            self._alarms.lines(),
        )

    def _at_risk_cents(self) -> int:
        return round(sum(row.mrr_at_risk_cents or 0 for row in self._accounts.values()))

    def _first(self) -> list[tuple[str, _Row]]:
        return heapq.nsmallest(self._rows_max, self._accounts.items(), key=_sort_key)

    def _summary(self) -> Text:
        text = f"{len(self._accounts):,} active accounts · MRR at risk {_money(self._at_risk_cents())}"
        return Text(text, style="bold")

    def _table(self, account_letters_max: int, *, tall: bool) -> RenderableType:
        if not self._accounts:
            return Text("\n No scores yet: start c360 run, or wait for its first tick.")
        first = self._first()
        held = {account_id for account_id, row in first if row.risk < self._begins.get(row.tier, 0.0)}
        table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0), caption_justify="left")
        table.caption = ORDER + (HELD if held else "")
        table.add_column("account", overflow="fold", max_width=account_letters_max)
        table.add_column("risk", justify="right", no_wrap=True)
        table.add_column("tier", no_wrap=True)
        table.add_column("MRR at risk", justify="right", no_wrap=True)
        table.add_column("as of", no_wrap=True)
        table.add_column("why", no_wrap=not tall, overflow="fold" if tall else "ellipsis", ratio=1)
        for account_id, row in first:
            table.add_row(
                Text(escaped(account_id)),
                f"{row.risk:.0%}{'*' if account_id in held else ''}",
                _tinted(row.tier),
                _money(row.mrr_at_risk_cents),
                _cell(row.as_of[:DATE_LETTERS]),
                _cell(row.reason),
            )
        return table


def _sort_key(account: tuple[str, _Row]) -> tuple[int, float, float, str]:
    """The sort key of an account: people act on tiers, and begin with the most money within one.

    By risk alone, an account whose tier outlasts its risk would stand below those of the next lower tier.
    """
    account_id, row = account
    tier = TIERS.index(row.tier) if row.tier in TIERS else -1
    at_risk_cents = -1.0 if row.mrr_at_risk_cents is None else row.mrr_at_risk_cents
    return -tier, -at_risk_cents, -row.risk, account_id


def _why(score: _Score) -> str:
    """The strongest reason and the strongest mitigation."""
    reason = score.reasons[0].text if score.reasons else ""
    if not score.mitigations:
        return reason
    lowers = score.mitigations[0].text
    return f"{reason} (but: {lowers})" if reason else f"nothing raises it; {lowers}"


def _cell(text: str) -> Text:
    return Text(printable(text))


def _tinted(word: str) -> Text:
    return Text(f"{printable(word):{TIER_LETTERS}}", style=STYLES.get(word, ""))


def _money(cents: float | None) -> str:
    return "" if cents is None else f"{cents / 100:,.0f}"
