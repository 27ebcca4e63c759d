"""Every log event: its name, its sentence, its fields and the question that it answers.

Steps log once a tick, a snapshot or an outage, never once an event of the input. No field holds a value of an event:
ids of accounts and users, texts and amounts stay out, at every level. Messages of a library or a server are quoted
as far as it is known to repeat none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

LOG = logging.getLogger("c360_stream")
EVENTS: dict[str, LogEvent] = {}
"""All of them, by name."""


@dataclass(frozen=True)
class LogEvent:
    """Something that a process logs.

    Parameters
    ----------
    name
        Stable, snake_case: what to search for.
    level
        Of `logging`.
    sentence
        With `{field}` where a field belongs, in the form that `str.format` knows.
    why
        What it means to an operator.
    fields
        Names of all fields. Text has those that the sentence leaves out behind it.
    block
        The one of them that has several lines; it is shown below the sentence.
    aside
        The one of them that is for the sentence alone.
    """

    name: str
    level: int
    sentence: str
    why: str
    fields: tuple[str, ...]
    block: str = ""
    aside: str = ""

    @property
    def enabled(self) -> bool:
        """Whether it is logged at all: ask before gathering what costs something."""
        return LOG.isEnabledFor(self.level)

    def log(self, **fields: object) -> None:
        """Log that it has happened; every field is given."""
        LOG.log(self.level, Happening(self, fields))

    def debug(self, **fields: object) -> None:
        """Log it at level debug: it has just been logged."""
        LOG.debug(Happening(self, fields))

    @property
    def in_sentence(self) -> frozenset[str]:
        """Fields that the sentence has."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.sentence) if name)


@dataclass(frozen=True)
class Happening:
    """An event that has happened: the message of a log record. Its text is made once a handler takes it."""

    event: LogEvent
    fields: Mapping[str, object]

    @property
    def message(self) -> str:
        """The sentence."""
        return self.event.sentence.format(**{name: _in_words(value) for name, value in self.fields.items()})

    @property
    def block(self) -> str:
        """What is shown below it."""
        return str(self.fields.get(self.event.block, "")).rstrip() if self.event.block else ""

    def __str__(self) -> str:
        return f"{self.message}\n{self.block}" if self.block else self.message


def _in_words(value: object) -> object:
    """What a sentence has for a value."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {number}" for name, number in value.items()) or "none"
    return "none" if value is None else value


def _event(name: str, level: int, sentence: str, why: str, fields: str, **special: str) -> LogEvent:
    EVENTS[name] = LogEvent(name, level, sentence, why, tuple(fields.split()), **special)
    return EVENTS[name]


DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

# Start ------------------------------------------------------------------------

RUN_STARTED = _event(
    "run_started",
    INFO,
    "c360-stream {version} starts on {transport} {input}, with tables at {tables}",
    "which release runs where; two runs with the same `settings` have the same settings",
    "version transport input tables pid processes shards live recovery settings",
)
STATE_NEW = _event(
    "state_new",
    INFO,
    "no state of an earlier run: begins at the start of the input",
    "a replay; `recovery` is where state will be kept, absent: nowhere",
    "recovery",
)
STATE_RESUMED = _event(
    "state_resumed",
    INFO,
    "resumes from {recovery}, at epoch {epoch}",
    "what happened after that epoch began is repeated",
    "recovery epoch",
)
PARTITION_OPENED = _event(
    "partition_opened",
    INFO,
    "reads {partition} from {position}",
    "where reading goes on; `offset` is absent if it begins, and in a log directory the line's number",
    "partition position offset",
    aside="position",
)
CLUSTER_JOINED = _event(
    "cluster_joined",
    INFO,
    "joins the other {others}, waiting for those that are not there",
    "this process is up, and the cluster may not be complete",
    "others",
)
METRICS_SERVED = _event(
    "metrics_served",
    INFO,
    "metrics at http://{address}/metrics",
    "where this process answers",
    "address",
)
HEARTBEATS_STARTED = _event(
    "heartbeats_started",
    INFO,
    "sends a heartbeat every {every_seconds} s to each of {partitions} partitions of {topics} topics",
    "`c360 heartbeat` works",
    "every_seconds partitions topics",
)
SETTING_UNKNOWN = _event(
    "setting_unknown",
    WARNING,
    "setting {setting} is unknown, and without effect",
    "a name is mistyped",
    "setting",
)
CRASH_OUTPUT_FOUND = _event(
    "crash_output_found",
    ERROR,
    "process {process}: native code had written before it was ended:",
    "last words of a process that crashed",
    "process output",
    block="output",
)

# Ticks, scores, models --------------------------------------------------------

TICK_SCORED = _event(
    "tick_scored",
    INFO,
    "tick {as_of}: {accounts:,} accounts scored by {model_name} {model_version} ({tiers}), {outcomes:,} outcomes known;"
    " since the last: {read:,} records read, {refused:,} refused, {late:,} late, {duplicates:,} duplicates",
    "one line a tick, by the process that has the monitor, for all processes; `c360_tick_timestamp_seconds` is its"
    " `as_of`. Counts are those until the tick's first scores; `seconds`: from those to its last",
    "as_of accounts tiers model_name model_version outcomes read refused late duplicates event_scores sink_rows"
    " alarms seconds",
)
TICK_LEARNT = _event(
    "tick_learnt",
    DEBUG,
    "tick {as_of}: learnt {learnt:,} outcomes, {churned:,} of them churned",
    "what the version of a tick rests on",
    "as_of learnt churned model_name model_version",
)
SCORE_EMITTED = _event(
    "score_emitted",
    DEBUG,
    "score {score_id} as of {as_of}",
    "one line a score: `score_id` is that of `risk_scores` and the risk topic",
    "score_id as_of trigger tier model_name model_version",
)
MODEL_ADOPTED = _event(
    "model_adopted",
    INFO,
    "{model_name} {model_version} scores from {as_of} on",
    "which model scores: at a start, and when another one takes over; `how` is `started`, `promoted` or `fell_back`",
    "model_name model_version feature_version as_of before how",
)
ALARM_RAISED = _event(
    "alarm_raised",
    WARNING,
    "alarm: {severity} {kind} of {subject}",
    "the row of `drift_alarms` with that `alarm_id` has the sentence",
    "alarm_id as_of kind subject severity method statistic threshold",
)

# Input ------------------------------------------------------------------------

RECORDS_REFUSED = _event(
    "records_refused",
    WARNING,
    "refused {records:,} of {topic}: {reasons}",
    "dead letters of this process since its last such line: the rule, never the value",
    "topic records reasons",
)
LATE_EVENTS_MANY = _event(
    "late_events_many",
    WARNING,
    "{late:,} of the {events:,} events of {partition} came more than {lateness_seconds:,} s behind one before them:"
    " scores that were made by then lack them; {hint}",
    "at the end of a run, past 1%",
    "partition events late lateness_seconds hint",
)
SUBSCRIPTION_EVENTS_MISPLACED = _event(
    "subscription_events_misplaced",
    WARNING,
    "{events:,} subscription events came behind thousands of later ones of their account: downgraded_90d may be wrong"
    " for it",
    "at the end of a run",
    "events",
)
PARTITIONS_UNREAD = _event(
    "partitions_unread",
    WARNING,
    "this run reads {read} partitions of {topic}, which has {found}: restart it",
    "a topic was given partitions",
    "topic read found",
)

# State, outages ---------------------------------------------------------------

STATE_KEPT = _event(
    "state_kept",
    INFO,
    "kept the state of {keys:,} keys: {bytes:,} bytes in {seconds:.3f} s",
    "a snapshot of this process: at most one a minute, the others (`snapshots` counts all) at level debug. The flow"
    " stood still for `seconds`",
    "keys bytes seconds snapshots",
)
OUTAGE_BEGAN = _event(
    "outage_began",
    WARNING,
    "{place}: waiting for it: {reason}",
    "a broker or server is away or refuses for now; nothing is lost",
    "place reason",
)
OUTAGE_LASTS = _event(
    "outage_lasts",
    WARNING,
    "{place}: still waiting for it, for {seconds:.0f} s now: {reason}",
    "the same, after 10 s, 20 s, 40 s ..., then every 5 minutes",
    "place reason seconds",
)
OUTAGE_ENDED = _event(
    "outage_ended",
    WARNING,
    "{place} answers again, after {seconds:.1f} s",
    "it is back, and the flow goes on",
    "place seconds",
)
ROWS_STORED_AGAIN = _event(
    "rows_stored_again",
    WARNING,
    "{place} took {rows} rows of {table} for stored, and had none of them",
    "they are inserted again; the database had lost an insert that it had noted",
    "place table rows",
)
FLOW_WAITS = _event(
    "flow_waits",
    WARNING,
    "no progress for {seconds:.0f} s: waiting, since {reason}",
    "this or another process of the cluster rides out an outage",
    "seconds reason",
)

# End --------------------------------------------------------------------------

STOP_ASKED = _event(
    "stop_asked",
    INFO,
    "{signal}: stops within {seconds_max:.0f} s",
    "who ended it: a signal, or the process that has started this one",
    "signal seconds_max",
)
STOP_FORCED = _event(
    "stop_forced",
    WARNING,
    "stopped without waiting any longer",
    "what was under way is repeated at the next start",
    "",
)
RUN_ENDED = _event(
    "run_ended",
    INFO,
    "{read:,} events read, {accepted:,} accepted, {dead_letters:,} dead letters, {duplicates:,} duplicates,"
    " {late:,} late{behind}, {scores:,} scores, {seconds:,.1f} s",
    "what this process did; `how` is `input_ended` or `stopped`; the reasons are the most frequent ones, by topic",
    "read accepted dead_letters duplicates late late_after_tick behind scores seconds how dead_letter_reasons",
    aside="behind",
)
COMMAND_FAILED = _event(
    "command_failed",
    ERROR,
    "{what}",
    "why it ends, and how to fix it. In text: `c360: error: ...`, as every command has it",
    "what exit_code stacks",
    block="stacks",
    aside="what",
)
LIBRARY_WARNED = _event(
    "library_warned",
    WARNING,
    "{logger}: {what}",
    "a library says something; report it",
    "logger what",
    aside="what",
)
