"""Benchmark `decode`: bytes to validated events."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from c360_stream.commands.bench.result import Result, least_cpu_seconds
from c360_stream.commands.bench.sample import Sample, SampleSpec
from c360_stream.events import Decoder


def measure(spec: SampleSpec, repeats: int) -> Iterator[Result]:
    """Decode product events; beside it JSON of any shape, which shows what the contract costs."""
    [lines] = Sample(spec).lines("product")
    block = b"\n".join(lines)
    floor = len(lines) / least_cpu_seconds(repeats, block.split, b"\n")
    parameters = {
        "product_events": len(lines),
        "bytes_per_event": round(len(block) / len(lines)),
        "seed": spec.seed,
        "repeats": repeats,
    }
    for name, decode in (("decode", Decoder("product").decode), ("decode_untyped_json", msgspec.json.Decoder().decode)):
        seconds = least_cpu_seconds(repeats, _each, decode, lines)
        yield Result(name, "events per CPU second", len(lines) / seconds, floor, "splitting the lines", parameters)


def _each(decode: Callable[[bytes], object], lines: list[bytes]) -> None:
    for line in lines:
        decode(line)
