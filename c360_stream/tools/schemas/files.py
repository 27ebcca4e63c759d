"""What others build on, as files: a JSON Schema a kind of record, and the AsyncAPI document of all topics.

`python -m c360_stream.tools.schemas.files [DIRECTORY]` writes them below a directory, the working directory by default.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from c360_stream.contracts.events.reference import CONTRACTS
from c360_stream.contracts.records import DeadLetter, DriftAlarm, Heartbeat, RiskScore
from c360_stream.contracts.validation import model_of
from c360_stream.tools import schemas as asyncapi

SCHEMA_DIRECTORY = Path("schemas/events")
ASYNCAPI_FILE = Path("docs/asyncapi.yaml")
CONTRACT_OF_TOPIC: dict[str, TypeAdapter[Any]] = {
    "product": CONTRACTS["product"],
    "billing": CONTRACTS["billing"],
    "support": CONTRACTS["support"],
    "risk-score": TypeAdapter(model_of(RiskScore)),
    "drift-alarm": TypeAdapter(model_of(DriftAlarm)),
    "heartbeat": TypeAdapter(model_of(Heartbeat)),
    "dead-letter": TypeAdapter(model_of(DeadLetter)),
}


def json_schemas() -> dict[str, str]:
    """File name -> text of every JSON Schema (draft 2020-12). The same contracts give the same bytes."""
    return {f"{name}.json": _schema(adapter) for name, adapter in CONTRACT_OF_TOPIC.items()}


def asyncapi_document() -> str:
    """Text of the AsyncAPI document, YAML. The same contracts give the same bytes."""
    return asyncapi.as_yaml(asyncapi.document(CONTRACT_OF_TOPIC.values()))


def _schema(adapter: TypeAdapter[Any]) -> str:
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | adapter.json_schema(), indent=2) + "\n"


def main(root: Path = Path()) -> None:
    """Write all files below a directory."""
    files = {SCHEMA_DIRECTORY / name: text for name, text in json_schemas().items()}
    for path, text in (files | {ASYNCAPI_FILE: asyncapi_document()}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
