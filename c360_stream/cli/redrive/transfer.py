"""`c360 redrive`: sends dead letters to the topic they came from again, each once."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import click
from confluent_kafka import TopicPartition as Partition
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from c360_stream.connectors.dead_letters import Fate, Letter, Selection, read_letter
from c360_stream.connectors.kafka.reader import KafkaReader
from c360_stream.connectors.kafka.redrive import RedriveOffset, Redriver
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import Headers, OutRecord, RawBatch
from c360_stream.connectors.reading import read_within
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.logs.lines import printable
from c360_stream.logs.refusals import Refusals, reason_lines, without_position
from c360_stream.settings import Settings

_PAUSE_SECONDS = 0.1
LETTERS_PER_TRANSACTION = 500
EXAMPLES_MAX = 5
GROUPS_MAX = 50
LETTERS_PER_LINE = 10_000
_TEXT_CHARACTERS_MAX = 100
_OTHERS = ("(others)", "", "")
_OTHER_REASONS = ("(others)", "other reasons")
BY_KEY = -1

Progressed = Callable[[int], object]


@dataclass
class _Tally:
    """Counts of what was found, in bounded memory: its names come from records of other writers."""

    fates: Counter[Fate] = field(default_factory=Counter)
    groups: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    reasons: Refusals = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, letter: Letter | None, fate: Fate) -> None:
        self.fates[fate] += 1
        if letter is None or fate is not Fate.SENT:
            return
        group = (letter.topic, _short(letter.stage), _short(letter.exception_class))
        self.groups[group if group in self.groups or len(self.groups) < GROUPS_MAX else _OTHERS] += 1
        what = _short(letter.exception_message)
        reason = (letter.topic, without_position(what))
        self.reasons[reason if reason in self.reasons or len(self.reasons) < GROUPS_MAX else _OTHER_REASONS] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"  {letter.topic}[{letter.partition}] offset {letter.offset}: {what}")


def redrive(
    settings: Settings, *, dry_run: bool, since: datetime | None, topic: str, stage: str, exception: str
) -> None:
    """Send the dead letters that are there now, with progress on stderr and a summary on stdout.

    Raises
    ------
    ConfigurationError
        If there is no Kafka, or `topic` is no input topic.
    TransportError
        If the broker refuses or stays away. What was sent until then is remembered.
    """
    if not settings.uses_kafka:
        raise ConfigurationError(
            f"c360 redrive works on Kafka: the files of {settings.log_dir} belong to their writers",
            "fix the lines in the input files and replay, or set C360_KAFKA_BROKERS",
        )
    targets = [settings.input_topic(kind) for kind in INPUT_KINDS]
    if topic and topic not in targets:
        raise ConfigurationError(f"--topic {printable(topic)} is no input topic", f"give one of {', '.join(targets)}")
    selection = Selection(since, topic, stage, exception)
    tally = _Tally()
    with contextlib.ExitStack() as stack:
        outages = Outages()
        transport = stack.enter_context(contextlib.closing(KafkaTransport(settings, outages=outages)))
        partitions = {name: _existing(transport, settings, name) for name in [*targets, settings.dead_letter_topic]}
        # Opened first: it ends the transaction of a killed process, and so settles the position.
        redriver = None if dry_run else stack.enter_context(contextlib.closing(Redriver(settings, outages=outages)))
        place = RedriveOffset(
            settings, settings.dead_letter_topic, selection.group(settings.topic_prefix), outages=outages
        )
        stack.enter_context(contextlib.closing(place))
        starts = place.starts(partitions.pop(settings.dead_letter_topic), since)
        letters = _Pass(
            selection=selection,
            targets=partitions,
            tally=tally,
            place=place,
            redriver=redriver,
            patience_seconds=settings.outage_seconds_max,
        )
        readers = [
            stack.enter_context(
                contextlib.closing(_reader(transport, place.topic, number, start, settings.outage_seconds_max))
            )
            for number, start in starts.items()
        ]
        lags = [reader.lag() for reader in readers]
        with _progress(sum(lags)) as advance:
            for reader, lag in zip(readers, lags, strict=True):
                letters.work_off(reader, lag, advance)
    _report(tally, dry_run=dry_run)


def _existing(transport: KafkaTransport, settings: Settings, topic: str) -> frozenset[int]:
    found = transport.partitions(topic)
    if not found:
        raise TransportError(f"Kafka at {settings.kafka_brokers} has no topic {topic}", "create it: c360 setup")
    return frozenset(found)


def _reader(transport: KafkaTransport, topic: str, partition: int, start: int, seconds_max: float) -> KafkaReader:
    """A reader that knows the end of its partition."""
    reader = transport.reader(topic, partition, (start,), live=False)
    deadline = time.monotonic() + seconds_max
    while not reader.knows_end:
        if time.monotonic() > deadline:
            reader.close()
            raise TransportError(f"the broker does not know where {topic}[{partition}] ends", "run it again later")
        time.sleep(_PAUSE_SECONDS)
        reader.read(0)  # asks for the end
    return reader


class _Pass:
    """One pass over the letters that were there at its begin; letters that it causes are for the next one."""

    def __init__(
        self,
        *,
        selection: Selection,
        targets: dict[str, frozenset[int]],
        tally: _Tally,
        place: RedriveOffset,
        redriver: Redriver | None,
        patience_seconds: float,
    ) -> None:
        self._selection = selection
        self._targets = targets
        self._tally = tally
        self._place = place
        self._redriver = redriver
        self._patience_seconds = patience_seconds

    def work_off(self, reader: KafkaReader, lag: int, advance: Progressed) -> None:
        """Read the next `lag` offsets of one partition; send the selected letters.

        Raises
        ------
        TransportError
            If nothing can be read for `outage_seconds_max`, or a transaction fails.
        """
        (start,) = reader.position()
        end = start + lag
        while start < end:
            batch = read_within(reader, min(LETTERS_PER_TRANSACTION, end - start), self._patience_seconds)
            (position,) = reader.position()
            if position > start:
                records = list(self._records(reader.partition, batch))
                if self._redriver is not None:
                    self._redriver.send(records, self._place, Partition(self._place.topic, reader.partition, position))
                advance(position - start)
                start = position
            elif reader.at_end:  # the rest are transaction markers
                return
            else:
                where = f"{self._place.topic}[{reader.partition}]"
                raise TransportError(
                    f"no record of {where} for {self._patience_seconds} s", "run it again: c360 doctor"
                )

    def _records(self, partition: int, batch: RawBatch) -> Iterator[tuple[Partition, OutRecord]]:
        """The records to send, and their targets."""
        keys: Sequence[bytes | None] = batch.keys or [None] * len(batch.values)
        headers: Sequence[Headers | None] = batch.headers or [None] * len(batch.values)
        for offset, key, value, given in zip(batch.offsets, keys, batch.values, headers, strict=True):
            letter = read_letter(key, value, given or ())
            fate = letter.fate(self._selection, self._targets) if letter is not None else Fate.FOREIGN
            self._tally.add(letter, fate)
            if letter is not None and fate is Fate.SENT:
                there = letter.partition in self._targets[letter.topic]
                target = Partition(letter.topic, letter.partition if there else BY_KEY)
                yield target, letter.record(f"{self._place.topic}/{partition}/{offset}")


def _report(tally: _Tally, *, dry_run: bool) -> None:
    """Print what was, or would be, sent, and why the rest is left."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    sent = tally.fates[Fate.SENT]
    if sent:
        table = Table("topic", "stage", "exception", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("would be sent" if dry_run else "sent", justify="right")
        for group, number in sorted(tally.groups.items(), key=lambda each: (-each[1], each[0])):
            table.add_row(*map(Text, group), f"{number:,}")
        console.print(table)
        console.print(Text("\n".join(f"refused: {line}" for line in reason_lines(tally.reasons))))
    if dry_run and tally.examples:
        console.print(Text("\n".join(["for example", *tally.examples])))
    for fate in (Fate.REPEATED, Fate.CUT, Fate.UNKNOWN_TOPIC, Fate.FOREIGN, Fate.UNSELECTED):
        if tally.fates[fate]:
            console.print(Text(f"left: {tally.fates[fate]:,} that {fate.value}"))
    done = "would be sent" if dry_run else "sent to the topics they came from"
    console.print(Text(f"{sent:,} of {tally.fates.total():,} dead letters {done}"))


def _short(text: str) -> str:
    return printable(text)[:_TEXT_CHARACTERS_MAX]


@contextlib.contextmanager
def _progress(letters: int) -> Iterator[Progressed]:
    """Progress on stderr, a bar on a terminal, else lines; yields a callback that takes the letters done."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        done = 0

        def report(more: int) -> None:
            nonlocal done
            before, done = done, done + more
            if done // LETTERS_PER_LINE > before // LETTERS_PER_LINE:
                click.echo(f"redriving: {done:,} of {letters:,} dead letters", err=True)

        yield report
        return
    with Progress(TextColumn("redriving"), BarColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("redriving", total=letters)
        yield lambda more: bar.advance(task, more)
