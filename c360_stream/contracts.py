"""JSON Schemas of the contracts, one a topic kind. `python -m c360_stream.contracts [DIRECTORY]` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from c360_stream.events.contract import CONTRACTS
from c360_stream.records import DeadLetter, DriftAlarm, Heartbeat, RiskScore

SCHEMA_DIRECTORY = Path("schemas/events")
CONTRACT_OF_TOPIC: dict[str, TypeAdapter[Any]] = {
    "product": CONTRACTS["product"],
    "billing": CONTRACTS["billing"],
    "support": CONTRACTS["support"],
    "risk-score": TypeAdapter(RiskScore),
    "drift-alarm": TypeAdapter(DriftAlarm),
    "heartbeat": TypeAdapter(Heartbeat),
    "dead-letter": TypeAdapter(DeadLetter),
}


def json_schemas() -> dict[str, str]:
    """File name -> text of every JSON Schema (draft 2020-12). The same contracts give the same bytes."""
    return {f"{name}.json": _schema(adapter) for name, adapter in CONTRACT_OF_TOPIC.items()}


def _schema(adapter: TypeAdapter[Any]) -> str:
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | adapter.json_schema(), indent=2) + "\n"


def main(directory: Path = SCHEMA_DIRECTORY) -> None:
    """Write the schemas into the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in json_schemas().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
