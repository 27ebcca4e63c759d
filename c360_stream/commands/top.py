"""`c360 top`: a terminal board of the riskiest accounts, tier changes, alarms and lag.

It reads the risk and alarm topics and the metrics of the running processes, never the tables, which a run may
hold.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import time
from collections.abc import Iterator

import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from c360_stream.commands import printable
from c360_stream.commands.scrape import Lag, scrape
from c360_stream.connectors.ports import RecordReader, Transport
from c360_stream.connectors.transport import open_transport
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

NEWS_MAX = 8
READ_RECORDS_MAX = 2_000
REFRESH_SECONDS = 1.0
ONCE_SECONDS_MAX = 5.0
DATE_LETTERS = len("2025-06-30")
TIER_LETTERS = len("critical")
STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "green", "warning": "yellow"}


class _Reason(msgspec.Struct):
    text: str = ""


class _Score(msgspec.Struct):
    """What the board needs of a risk score, or of the log directory's tombstone for one."""

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
    """What the board shows of a drift alarm."""

    raised_at: str = ""
    kind: str = ""
    subject: str = ""
    severity: str = ""
    detail: str = ""


class _Row(msgspec.Struct, gc=False):
    """All that is kept of an account: what a row shows of its newest score."""

    as_of: str
    risk: float
    tier: str
    mrr_at_risk_cents: float | None
    reason: str


class _News:
    """The newest few (moment, word to tint, what happened), in whatever order they come; a repeat counts once."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._items: list[tuple[str, str, str]] = []

    def add(self, moment: str, word: str, what: str) -> None:
        if (moment, word, what) not in self._items:
            self._items = sorted([*self._items, (moment, word, what)], reverse=True)[:NEWS_MAX]

    def lines(self) -> Text:
        """The title and a line an item, newest first."""
        items = [
            Text.assemble(" ", _cell(moment[:DATE_LETTERS]), "  ", _tinted(word), "  ", _cell(what))
            for moment, word, what in self._items
        ]
        return Text("\n").join([Text(f"\n {self._title}", style="bold"), *(items or [Text(" none")])])


class Board:
    """What the risk and alarm topics say now. Memory: one short row an account, and a few pieces of news.

    Parameters
    ----------
    rows_max
        Accounts to show.
    """

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
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
            return  # a board shows what it can read
        if score.tombstone:
            self._accounts.pop(score.account_id, None)
            return
        if score.previous_tier and score.previous_tier != score.tier:
            self._changes.add(score.as_of, score.tier, f"{score.account_id}, before: {score.previous_tier}")
        known = self._accounts.get(score.account_id)
        if known is None or score.as_of >= known.as_of:  # a crash may repeat older scores
            self._accounts[score.account_id] = _Row(
                score.as_of, score.risk, score.tier, score.mrr_at_risk_cents, _why(score)
            )

    def take_alarm(self, value: bytes) -> None:
        """Take a record of the alarm topic."""
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            alarm = self._decode_alarm(value)
            self._alarms.add(alarm.raised_at, alarm.severity, f"{alarm.kind} {alarm.subject}: {alarm.detail}")

    def frame(self, lag: Lag | None) -> RenderableType:
        """One picture of the board."""
        return Group(
            self._summary(),
            _cell(str(lag or "no running process answers at C360_METRICS_ADDRESS")),
            self._riskiest(),
            self._changes.lines(),
            self._alarms.lines(),
        )

    def _summary(self) -> Text:
        at_risk_cents = sum(row.mrr_at_risk_cents or 0 for row in self._accounts.values())
        return Text(f"{len(self._accounts):,} active accounts · MRR at risk {_money(at_risk_cents)}", style="bold")

    def _riskiest(self) -> RenderableType:
        if not self._accounts:
            return Text("\n No scores yet: start c360 run, or wait for its first tick.")
        table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0))
        table.add_column("account", no_wrap=True, ratio=2)
        table.add_column("risk", justify="right", no_wrap=True)
        table.add_column("tier", no_wrap=True)
        table.add_column("MRR at risk", justify="right", no_wrap=True)
        table.add_column("as of", no_wrap=True)
        table.add_column("why", no_wrap=True, ratio=5)
        riskiest = heapq.nsmallest(self._rows_max, self._accounts.items(), key=lambda item: (-item[1].risk, item[0]))
        for account_id, row in riskiest:
            table.add_row(
                _cell(account_id),
                f"{row.risk:.0%}",
                _tinted(row.tier),
                _money(row.mrr_at_risk_cents),
                _cell(row.as_of[:DATE_LETTERS]),
                _cell(row.reason),
            )
        return table


def _why(score: _Score) -> str:
    """The strongest reason, and what speaks against the risk most."""
    reason = score.reasons[0].text if score.reasons else ""
    return f"{reason} (but: {score.mitigations[0].text})" if score.mitigations else reason


def _cell(text: str) -> Text:
    return Text(printable(text))


def _tinted(word: str) -> Text:
    return Text(f"{printable(word):{TIER_LETTERS}}", style=STYLES.get(word, ""))


def _money(cents: float | None) -> str:
    return "" if cents is None else f"{cents / 100:,.0f}"


class TopicTail:
    """Reads every partition of a topic from its start; partitions and the topic itself may come later.

    Parameters
    ----------
    transport
        Stays open as long as this.
    topic
        Its name.
    patience_seconds
        How long to wait for a partition that has neither records nor said that there are no more.
    """

    def __init__(self, transport: Transport, topic: str, patience_seconds: float = 0.0) -> None:
        self._transport = transport
        self._topic = topic
        self._patience_seconds = patience_seconds
        self._readers: dict[int, RecordReader] = {}

    def read(self) -> Iterator[tuple[bytes | None, bytes]]:
        """Keys and values that are there now, in the order of each partition."""
        for partition in self._transport.partitions(self._topic):
            if partition not in self._readers:
                self._readers[partition] = self._transport.reader(self._topic, partition, None, live=True)
            try:
                yield from self._records(self._readers[partition])
            except TransportError:
                # A run that resumes cuts its log files back to its snapshot: next time, read from the start.
                self._readers.pop(partition).close()

    def _records(self, reader: RecordReader) -> Iterator[tuple[bytes | None, bytes]]:
        heard_at = time.monotonic()
        while True:
            batch = reader.read(READ_RECORDS_MAX)
            yield from zip(batch.keys or itertools.repeat(None), batch.values, strict=False)
            if batch.values:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at >= self._patience_seconds:
                return
            if reader.at_end:
                return

    def close(self) -> None:
        """Close the readers."""
        for reader in self._readers.values():
            reader.close()


def top(settings: Settings, *, once: bool, rows: int) -> None:
    """Show the board until interrupted, or once: also if stdout is no terminal.

    Raises
    ------
    ConfigurationError, TransportError
        If the topics cannot be reached.
    """
    console = Console(highlight=False)
    board = Board(rows)
    once = once or not console.is_terminal
    patience_seconds = ONCE_SECONDS_MAX if once else 0.0
    with (
        contextlib.closing(open_transport(settings)) as transport,
        contextlib.closing(TopicTail(transport, settings.risk_topic, patience_seconds)) as scores,
        contextlib.closing(TopicTail(transport, settings.alarm_topic, patience_seconds)) as alarms,
    ):

        def look() -> RenderableType:
            for key, value in scores.read():
                board.take_score(key, value)
            for _, value in alarms.read():
                board.take_alarm(value)
            return board.frame(scrape(settings.metrics_address))

        if once:
            console.print(look())
            return
        with contextlib.suppress(KeyboardInterrupt), Live(look(), console=console, screen=True) as live:
            while True:
                time.sleep(REFRESH_SECONDS)
                live.update(look(), refresh=True)
