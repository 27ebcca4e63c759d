"""Operations: how fresh, how fast."""

from __future__ import annotations

from deploy.dashboards.panel import Section, promql
from deploy.dashboards.parts import lines

FRESHNESS = Section(
    "Freshness and lag",
    (
        lines(
            "Which partition or sink is behind?",
            "Age of the newest heartbeat of each input partition in each table and topic. One partition high in"
            " every sink: its producer or its reader. All partitions high in one sink: that table or topic. All"
            " high: the flow stands still.",
            "s",
            promql(
                "time() - max by (topic, partition, sink) (c360_heartbeat_timestamp_seconds)",
                "{{topic}}/{{partition}} in {{sink}}",
            ),
            minimum=0,
        ),
        lines(
            "How long does the whole way take?",
            "Time from the sending of a heartbeat until a sink acknowledged it, as an event goes: median and 99th"
            " percentile of 5 minutes. With a recovery directory exact output waits for its snapshot: up to"
            " C360_SNAPSHOT_SECONDS is normal.",
            "s",
            promql("c360:heartbeat_latency_seconds:p50_5m", "{{sink}} p50"),
            promql("c360:heartbeat_latency_seconds:p99_5m", "{{sink}} p99"),
            minimum=0,
        ),
        lines(
            "Is the watermark moving?",
            "Wall clock less watermark, and of it what is past the allowed lateness. Level is normal; a line that"
            " rises by a second a second stands still: a partition that sends nothing and is not yet idle, or the"
            " flow itself.",
            "s",
            promql("c360:watermark_lag_seconds:max", "behind the clock"),
            promql("c360:watermark_delay_seconds:max", "past the allowed lateness"),
        ),
        lines(
            "Which topic is behind?",
            "Records between the position and the end, by topic. One topic alone: its partitions are skewed or its"
            " events are heavy.",
            "short",
            promql("c360:consumer_lag_records:sum", "{{topic}}"),
            minimum=0,
        ),
        lines(
            "How long would catching up take?",
            "Time that the backlog takes at the speed of the last 5 minutes. It should fall by more than a second"
            " a second during a back-fill; nothing is drawn while nothing moves.",
            "s",
            promql("c360:consumer_drain_seconds:ratio5m < +Inf", "at the present speed"),
            minimum=0,
        ),
        lines(
            "Do the daily ticks close?",
            "Ticks that closed within a day: live it is one, after midnight UTC and the allowed lateness; a"
            " back-fill closes many. 0 for over a day: the watermark stands still.",
            "none",
            promql("c360:ticks_closed:increase1d", "ticks in a day"),
            minimum=0,
        ),
    ),
)

THROUGHPUT = Section(
    "Throughput, step by step",
    (
        lines(
            "How much is read?",
            "Records read per second, by topic, good or bad, without heartbeats. A topic at 0 while others go on is a"
            " producer that stopped.",
            "recps",
            promql("c360:events_read:rate5m", "{{topic}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "How much of it is accepted?",
            "Records that decoded as events, a second: what is read less dead letters and heartbeats.",
            "recps",
            promql("c360:events_accepted:rate5m", "{{topic}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "How many scores come out?",
            "Risk scores per second, by trigger and tier: a burst at the daily tick, some in between as events move"
            " accounts. A rush of critical ones is news.",
            "recps",
            promql("c360:scores_emitted:rate5m", "{{trigger}} {{tier}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "How many rows reach tables and topics?",
            "Rows and records that each sink acknowledged, a second, repeats after a crash included. A sink at 0"
            " while scores come out is the one to look at.",
            "rowsps",
            promql("c360:sink_rows:rate5m", "{{sink}}"),
            width=8,
            minimum=0,
        ),
        lines(
            "Are all partitions read?",
            "Partitions that the run reads, and that Kafka has, by topic. More there than read: the topic has"
            " grown since the start; restart the run.",
            "none",
            promql("max by (topic) (c360_input_partitions)", "{{topic}} read"),
            promql("max by (topic) (c360_input_partitions_found)", "{{topic}} there"),
            width=8,
            minimum=0,
        ),
        lines(
            "Does anything hold up the input?",
            "Longest time within the last 15 to 30 s without a look at the input: a step, a snapshot or a sink had"
            " the engine. Seconds at midnight are the tick; if it lasts, compare with snapshots and flushes below.",
            "s",
            promql("c360_intake_pause_max_seconds", "{{instance}}"),
            width=8,
            minimum=0,
        ),
    ),
)
