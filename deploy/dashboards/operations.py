"""Is the pipeline working? For its operators; Prometheus only."""

from __future__ import annotations

from deploy.dashboards.operations_flow import FRESHNESS, THROUGHPUT
from deploy.dashboards.panel import Annotation, Dashboard, Field, Section, Threshold, promql
from deploy.dashboards.parts import lines, promql_stat, table

# A share of no input is NaN, which `>= 0` leaves out.
_GLANCE = Section(
    "At a glance",
    (
        promql_stat(
            "Are scores fresh?",
            "Age of the newest heartbeat that came through the whole flow, in the sink and partition where it is"
            " oldest. Heartbeats are sent to every partition of the input and have to come out of every table and"
            " topic: a few times their interval is normal. Red: something on the way stands still; the first"
            " panels below show where.",
            "s",
            "max(c360:heartbeat_age_seconds:max)",
            thresholds=(Threshold(120, "yellow"), Threshold(600, "red")),
            decimals=0,
        ),
        promql_stat(
            "Do all processes answer?",
            "Processes that answered the last scrape, over those that the cluster was started with. Below 100%:"
            " look for one that ended (its exit code shows whether to start it again) or that cannot be reached.",
            "percentunit",
            "min(c360:processes_up:sum / on (job) c360:processes_expected:max)",
            base_colour="red",
            thresholds=(Threshold(1, "green"),),
            decimals=0,
        ),
        promql_stat(
            "Do alerts fire?",
            "How many alerts fire now. The table at the end names them; each has a runbook in docs/operations.md.",
            "none",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            thresholds=(Threshold(1, "red"),),
        ),
        promql_stat(
            "Does it keep up?",
            "Records in Kafka that are not read yet, all partitions. It falls during a back-fill and stays near 0"
            " otherwise. Growing: more comes in than is processed; docs/performance.md has the sizing.",
            "short",
            "sum(c360:consumer_lag_records:sum)",
            thresholds=(Threshold(10_000, "yellow"), Threshold(1_000_000, "red")),
        ),
        promql_stat(
            "Is input refused?",
            "Share of the records read that went to the dead letters in the last 15 minutes, of the worst topic."
            " Anything that lasts is a producer that breaks its contract: the table dead_letters has each record"
            " with the reason.",
            "percentunit",
            "max(c360:dead_letters:ratio15m >= 0)",
            thresholds=(Threshold(0.001, "yellow"), Threshold(0.01, "red")),
            decimals=2,
            no_value="no input",
        ),
        promql_stat(
            "How many accounts are active?",
            "Accounts with an active subscription as of the last daily tick. A fall that sales does not know of is"
            " lost input.",
            "short",
            "sum(c360:accounts_active:sum)",
            base_colour="blue",
            decimals=0,
        ),
    ),
)


_BAD_INPUT = Section(
    "Bad input: dead letters, late and repeated events",
    (
        lines(
            "Which step refuses what?",
            "Dead letters per second, by topic and the stage that refused them. The record and the reason are in the"
            " table dead_letters: inform its producer.",
            "recps",
            promql("c360:dead_letters:rate5m > 0", "{{topic}} {{stage}}"),
            width=8,
            minimum=0,
            no_value="none refused",
            expects_data=False,
            no_data_reason="the demo's events keep the contract",
        ),
        lines(
            "How large is the share that is refused?",
            "Dead letters over records read in 15 minutes, by topic. C360DeadLetters fires above 1%.",
            "percentunit",
            promql("c360:dead_letters:ratio15m >= 0", "{{topic}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "How many events are late or repeated?",
            "Events behind the watermark, and events whose id was seen before, over the events of an hour. Late"
            " ones count in later as-ofs, but ticks that are out lack them: if they last, raise"
            " C360_ALLOWED_LATENESS_SECONDS. Repeated ones are dropped: a producer retries.",
            "percentunit",
            promql("c360:late_events:ratio1h >= 0", "late"),
            promql("c360:duplicate_events:ratio1h >= 0", "repeated"),
            width=8,
            minimum=0,
        ),
    ),
)

_SINKS = Section(
    "Sinks: errors and latency",
    (
        lines(
            "Does a table or topic keep us waiting?",
            "Age of the oldest insert, transaction or flush not acknowledged: an outage, which is ridden out for"
            " C360_OUTAGE_SECONDS_MAX, then the run ends with 1; no row is lost. Look at the server or broker.",
            "s",
            promql("c360:sink_waiting_seconds:max", "{{sink}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "How long does a batch take to be acknowledged?",
            "Median and 99th percentile of a flush in 5 minutes, by table and topic. Back-pressure starts here: a"
            " slow table slows reading.",
            "s",
            promql("c360:sink_flush_duration_seconds:p50_5m", "{{sink}} p50"),
            promql("c360:sink_flush_duration_seconds:p99_5m", "{{sink}} p99"),
            width=8,
            minimum=0,
        ),
        lines(
            "Which writes were given up?",
            "Writes that were given up in the last hour, by table and topic: each ended the run. The message at"
            " its end has the answer of the server or broker.",
            "none",
            promql("sum by (sink) (increase(c360_sink_errors_total[1h]))", "{{sink}}"),
            width=8,
            minimum=0,
            no_value="none given up",
            expects_data=False,
            no_data_reason="nothing fails in the demo",
        ),
    ),
)

_STATE = Section(
    "State and snapshots",
    (
        lines(
            "How old is the last snapshot?",
            "Age of the newest snapshot of the process whose newest is oldest. A crash repeats what is newer, and"
            " exact output waits for it. Nothing is drawn without a recovery directory.",
            "s",
            promql("c360:snapshot_age_seconds:max", "age"),
            width=8,
            minimum=0,
            thresholds=(Threshold(300, "red"),),
        ),
        lines(
            "How long does a snapshot stop the flow?",
            "Time that a step takes to snapshot one key, 99th percentile of 15 minutes; the flow stands still for"
            " all keys of a process together. Too long: raise C360_SNAPSHOT_SECONDS.",
            "s",
            promql("c360:snapshot_duration_seconds:p99_15m", "{{step}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "How much do snapshots write?",
            "Bytes per second, by step: what changed since the snapshot before. The disk of the recovery directory"
            " has to bear it.",
            "binBps",
            promql("c360:snapshot_size_bytes:rate5m", "{{step}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "Are the topics out of step?",
            "Events that wait in the fullest shard for the tick before them, over the bound past which the run"
            " ends. Rising: a partition is far behind the others.",
            "percentunit",
            promql("c360:early_events:ratio", "fullest shard"),
            width=8,
            minimum=0,
            thresholds=(Threshold(0.85, "red"),),
        ),
        lines(
            "Does memory grow?",
            "Resident memory of each process. It grows with accounts and users, not with time; docs/performance.md"
            " has the expected values.",
            "bytes",
            promql("c360_process_resident_memory_bytes", "{{instance}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "Is a processor busy?",
            "Processor time per second of each process: where it stays near 100%, its dataflow thread is at its"
            " limit, and more processes help.",
            "percentunit",
            promql("rate(c360_process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),
            width=8,
            minimum=0,
        ),
    ),
)

_LEARNING = Section(
    "Learning goes on",
    (
        lines(
            "Do outcomes come in?",
            "Matured examples learnt from within 3 days. Live they come with the daily tick. 0: no labels, as when"
            " cancellations do not arrive any more.",
            "short",
            promql("c360:examples_learnt:increase3d", "learnt in 3 days"),
            width=8,
            minimum=0,
        ),
        lines(
            "How many outcomes are waited for?",
            "Examples whose label is not yet known. Level once the first horizon has passed, in step with the"
            " accounts.",
            "short",
            promql("c360:outcomes_pending:sum", "pending"),
            width=8,
            minimum=0,
        ),
        lines(
            "Are drift alarms raised?",
            "Drift and data-quality alarms of the last 6 hours, by kind and severity. The model dashboard has"
            " each, with what was seen and done.",
            "none",
            promql("c360:alarms_raised:increase6h > 0", "{{kind}} {{severity}}"),
            width=8,
            minimum=0,
            no_value="none raised",
            expects_data=False,
            no_data_reason="a steady company raises none",
        ),
    ),
)

_DETAILS = Section(
    "What fires, what runs",
    (
        table(
            "Which alerts fire, for what?",
            "Each alert that fires now. Its runbook is in docs/operations.md under its name.",
            "none",
            promql('sum by (alertname, severity) (ALERTS{alertstate="firing"})', instant=True),
            Field("alertname", "alert"),
            Field("severity", "severity", width=110),
            Field("Value", "series", decimals=0, width=80),
            no_value="none fires",
            expects_data=False,
            no_data_reason="no alert fires in a healthy run",
        ),
        table(
            "Which version runs where?",
            "Processes by the release they run. Two releases at once are an upgrade under way, or one that was"
            " forgotten.",
            "none",
            promql("count by (version, instance) (c360_build_info)", instant=True),
            Field("version", "version"),
            Field("instance", "process"),
            Field("Value", "running", width=90),
        ),
    ),
)

OPERATIONS = Dashboard(
    uid="c360-operations",
    title="c360: is the pipeline working?",
    description="Freshness, throughput, bad input, sinks, state: for the operators of c360-stream.",
    since="now-3h",
    refresh="30s",
    sections=(_GLANCE, FRESHNESS, THROUGHPUT, _BAD_INPUT, _SINKS, _STATE, _LEARNING, _DETAILS),
    annotations=(
        Annotation(
            "Alerts",
            "red",
            promql('sum by (alertname, severity) (ALERTS{alertstate="firing"})'),
            title="{{alertname}}",
            text="{{severity}}",
        ),
    ),
)
