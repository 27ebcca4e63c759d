"""Write events as a log directory with everything that a real one suffers from; read it back."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.reference.oracle import TOPICS, Event, parse_time
from tests.reference.rubbish import encode, mutated_line, rubbish_line

CLEAN, RUBBISH = "clean.jsonl", "rubbish.json"
PARTITIONS = {"product": 3, "billing": 2, "support": 1}
Place = tuple[str, int]


@dataclass(frozen=True)
class Mess:
    """What happens to the events on their way into the log. Shares are of the events.

    `clocks_ahead` is the share of accounts whose clock is up to `ahead_hours` ahead: what they send arrives that much
    before its time. Negative hours are clocks that are behind. `arrives_early` says by how much single events do.
    Rubbish comes in bursts of `rubbish_burst` lines; `rubbish_share` counts the bursts.
    """

    seed: int
    partitions: Mapping[str, int] = field(default_factory=lambda: dict(PARTITIONS))
    reorder_minutes: float = 20
    duplicate_share: float = 0.02
    duplicate_hours: float = 12
    duplicate_lines: int = 300
    rubbish_share: float = 0.01
    rubbish_burst: int = 1
    mutated_share: float = 0.0
    clocks_ahead: float = 0.0
    ahead_hours: float = 23.0
    arrives_early: Mapping[str, timedelta] = field(default_factory=dict)
    gzip: tuple[Place, ...] = (("billing", 0),)


@dataclass
class WrittenLog:
    """A log directory and the truth about it; `rubbish`: line numbers from 0 by (topic name, partition)."""

    path: Path
    events: dict[str, list[Event]]
    rubbish: dict[Place, list[int]]
    lines: int


def topic_name(topic: str) -> str:
    """The full name of an input topic, under the default prefix."""
    return f"c360.{topic}.events.v1"


def write_log(events: dict[str, list[Event]], out: Path, mess: Mess) -> WrittenLog:
    """Write `<topic>/<partition>.jsonl` under `out`, and the truth beside them."""
    draw = random.Random(mess.seed)
    log = WrittenLog(out, events, {}, 0)
    for topic in TOPICS:
        parts: dict[int, list[Event]] = defaultdict(list)
        for event in events[topic]:
            parts[zlib.crc32(event["account_id"].encode()) % mess.partitions[topic]].append(event)
        for partition in range(mess.partitions[topic]):
            log.rubbish[topic_name(topic), partition] = refused = []
            lines = []
            for number, (line, is_rubbish) in enumerate(messy_lines(topic, parts[partition], mess, draw)):
                lines.append(line)
                refused += [number] if is_rubbish else []
            log.lines += len(lines)
            write_lines(out / topic_name(topic), partition, lines, zipped=(topic, partition) in mess.gzip)
    with (out / CLEAN).open("w") as file:
        for topic, found in events.items():
            file.writelines(json.dumps([topic, event]) + "\n" for event in found)
    refusals = {f"{name}/{partition}": lines for (name, partition), lines in log.rubbish.items()}
    (out / RUBBISH).write_text(json.dumps({"lines": log.lines, "rubbish": refusals}))
    return log


def write_lines(folder: Path, partition: int, lines: Iterable[bytes], *, zipped: bool) -> None:
    """Write one partition, plain or gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    content = b"".join(line + b"\n" for line in lines)
    if zipped:
        (folder / f"{partition}.jsonl.gz").write_bytes(gzip.compress(content, 1))
    else:
        (folder / f"{partition}.jsonl").write_bytes(content)


def messy_lines(topic: str, events: list[Event], mess: Mess, draw: random.Random) -> Iterator[tuple[bytes, bool]]:
    """A partition's lines in the order they arrive, each with whether it must be refused."""
    delayed = [
        (
            parse_time(event["occurred_at"])
            + draw.random() * timedelta(minutes=mess.reorder_minutes)
            - clock_ahead(event["account_id"], mess)
            - mess.arrives_early.get(event["event_id"], timedelta()),
            event,
        )
        for event in events
    ]
    delayed.sort(key=lambda pair: pair[0])
    arrivals = [at for at, _ in delayed]
    placed: list[tuple[float, bytes, bool]] = []
    for position, (at, event) in enumerate(delayed):
        line = encode(event, ascii_only=draw.random() < 0.3)
        placed.append((position, line, False))
        if draw.random() < mess.duplicate_share:
            latest = bisect_right(arrivals, at + timedelta(hours=mess.duplicate_hours))
            again = min(position + draw.randint(1, mess.duplicate_lines), latest - 1)
            placed.append((again + draw.uniform(0.1, 0.9), line, False))
        for _ in range(mess.rubbish_burst if draw.random() < mess.rubbish_share else 0):
            line = rubbish_line(topic, event, draw, past=position > 0)
            placed.append((position + draw.uniform(0.1, 0.9), line, True))
        if draw.random() < mess.mutated_share:
            placed.append((position + draw.uniform(0.1, 0.9), mutated_line(event, draw), False))
    placed.sort(key=lambda one: one[0])
    for _, line, is_rubbish in placed:
        yield line, is_rubbish


def clock_ahead(account: str, mess: Mess) -> timedelta:
    """By how much the clock of an account is ahead."""
    draw = random.Random(f"{mess.seed} {account}")
    wrong, share = draw.random() < mess.clocks_ahead, draw.random()
    return timedelta(hours=mess.ahead_hours * share) if wrong else timedelta()


def read_log(path: Path) -> WrittenLog:
    """The truth about a log directory: as its writer left it, else every line taken as a valid event."""
    events: dict[str, list[Event]] = {topic: [] for topic in TOPICS}
    if (path / CLEAN).exists():
        for line in (path / CLEAN).open():
            topic, event = json.loads(line)
            events[topic].append(event)
        found = json.loads((path / RUBBISH).read_text())
        rubbish = {(name.split("/")[0], int(name.split("/")[1])): lines for name, lines in found["rubbish"].items()}
        return WrittenLog(path, events, rubbish, found["lines"])
    for topic in TOPICS:
        for lines in read_lines(path, topic).values():
            events[topic] += [json.loads(line) for line in lines]
    return WrittenLog(path, events, {}, sum(map(len, events.values())))


def read_lines(path: Path, topic: str) -> dict[int, list[bytes]]:
    """A topic's lines by partition, as they stand in the files."""
    found = {}
    for file in sorted((path / topic_name(topic)).glob("*.jsonl*")):
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        found[int(file.name.split(".")[0])] = content.split(b"\n")[:-1]
    return found
