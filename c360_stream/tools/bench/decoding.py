"""Benchmark `decode`: bytes to validated events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from c360_stream.contracts.events import Decoder
from c360_stream.tools.bench.result import Result, least_cpu_seconds
from c360_stream.tools.bench.sample import Sample, SampleSpec


def measure(spec: SampleSpec, repeats: int) -> Iterator[Result]:
    """Decode product events as the flow does; beside it JSON of any shape, one by one."""
    drawn = Sample(spec).drawn("product")
    [lines] = drawn.by_partition
    block = b"\n".join(lines)
    floor = len(lines) / least_cpu_seconds(repeats, block.split, b"\n")
    parameters = {
        "product_events": len(lines),
        "refused": drawn.counts.refused,
        "bytes_per_event": round(len(block) / len(lines)),
        "seed": spec.seed,
        "repeats": repeats,
    }
    for name, decode in (("decode", _as_the_flow), ("decode_untyped_json", _untyped)):
        seconds = least_cpu_seconds(repeats, decode, lines)
        yield Result(name, "events per CPU second", len(lines) / seconds, floor, "splitting the lines", parameters)


def _as_the_flow(lines: list[bytes]) -> None:
    for _ in Decoder("product").decode_blocks(lines):
        pass


def _untyped(lines: list[bytes]) -> None:
    decode = msgspec.json.Decoder().decode
    for line in lines:
        with suppress(msgspec.DecodeError):
            decode(line)
