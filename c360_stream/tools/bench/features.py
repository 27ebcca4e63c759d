"""Benchmark `features`: decoded events to columns, and into the windows of the account shards."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from xxhash import xxh3_64_intdigest

from c360_stream.contracts.events import ProductEvent
from c360_stream.settings import Settings
from c360_stream.tools.bench.result import Result, least_cpu_seconds, timed
from c360_stream.tools.bench.sample import Sample, SampleSpec
from c360_stream.tools.bench.shards import Shards, decoded


def measure(settings: Settings, spec: SampleSpec, repeats: int) -> Iterator[Result]:
    """Encode batches of accepted product events and give them to every shard; no tick is due."""
    [lines] = Sample(spec).lines("product")
    events = [event for event in decoded("product", lines) if isinstance(event, ProductEvent)]
    floor = len(events) / least_cpu_seconds(repeats, _hash_ids, events)
    batches = [events[i : i + settings.batch_events] for i in range(0, len(events), settings.batch_events)]
    encode, receive = min((_pass(settings, batches) for _ in range(repeats)), key=sum)
    yield Result(
        "features",
        "events per CPU second",
        len(events) / (encode + receive),
        floor=floor,
        floor_is="hashing event and user ids",
        parameters={
            "accounts": spec.accounts,
            "product_events": len(lines),
            "refused": len(lines) - len(events),
            "batch_events": settings.batch_events,
            "shards": settings.shards,
            "seed": spec.seed,
            "repeats": repeats,
        },
        detail={"encode": encode, "receive": receive},
    )


def _pass(settings: Settings, batches: list[list[ProductEvent]]) -> tuple[float, float]:
    """CPU seconds of encoding and of receiving everything once, in fresh shards."""
    shards = Shards(settings)
    encode = receive = 0.0
    for batch in batches:
        encoded = timed(shards.encode, "product", batch)
        encode += encoded.cpu
        receive += timed(deque, shards.receive(*encoded.given)).cpu
    return encode, receive


def _hash_ids(events: list[ProductEvent]) -> None:
    for event in events:
        xxh3_64_intdigest(event.event_id.encode())
        xxh3_64_intdigest((event.user_id or "").encode())
