"""The AsyncAPI document: up to date, valid by the published schema, with examples that hold, and true of the topics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from msgspec import Struct

from c360_stream.cli.setup.creation import topics
from c360_stream.contracts.events import Decoder, Refused, time_us
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import DeadLetter, DriftAlarm, Heartbeat, RiskScore, alarm_id, score_id
from c360_stream.contracts.validation import model_of
from c360_stream.settings import Settings
from c360_stream.tools.schemas import files as contracts
from tests.deploy.asyncapi_specs import published_schema

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load(contracts.asyncapi_document())


def address(channel: dict[str, Any], prefix: str = "c360") -> str:
    """A channel's topic."""
    return str(channel["address"].replace("{prefix}", prefix))


def examples() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Topic, message and example of all there are."""
    for channel in DOCUMENT["channels"].values():
        for name in channel["messages"]:
            message = DOCUMENT["components"]["messages"][name]
            for example in message["examples"]:
                yield address(channel), message, example


def check(schema: dict[str, Any], value: object) -> None:
    """Hold a value against a schema of the document."""
    Draft7Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def test_the_committed_document_is_that_of_the_contracts() -> None:
    committed = (ROOT / contracts.ASYNCAPI_FILE).read_text("utf-8")
    assert committed == contracts.asyncapi_document(), "run: make schemas"


def test_it_is_valid_by_the_published_schema() -> None:
    schema = published_schema(DOCUMENT["asyncapi"])
    found = [
        f"{list(error.absolute_path)}: {error.message[:300]}" for error in Draft7Validator(schema).iter_errors(DOCUMENT)
    ]
    assert found == []


def test_the_published_schema_finds_mistakes() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    broken["channels"]["riskScores"]["bindings"]["kafka"]["partitions"] = 0
    assert not Draft7Validator(published_schema(DOCUMENT["asyncapi"])).is_valid(broken)


def test_its_topics_are_those_of_setup() -> None:
    assert [address(channel) for channel in DOCUMENT["channels"].values()] == topics(Settings())


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    for reference in references(DOCUMENT):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_message_has_an_example_that_its_schemas_allow() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert all(message["examples"] for message in messages.values())
    for _, message, example in examples():
        check(message["payload"], example["payload"])
        check(message.get("headers", {}), example.get("headers", {}))


def test_examples_of_events_are_accepted_and_the_dead_letter_is_refused() -> None:
    decoders = {Settings().input_topic(kind): Decoder(kind) for kind in INPUT_KINDS}
    for topic, message, example in examples():
        if topic in decoders:
            event = decoders[topic].decode(json.dumps(example["payload"]).encode())
            assert message["name"] in ("product_event", example["payload"]["event_type"])
            assert event.event_id == example["payload"]["event_id"]
        if message["name"] == "dead_letter":
            refused_by = decoders[example["headers"]["__connect.errors.topic"]]
            with pytest.raises(Refused) as refusal:
                refused_by.decode(example["payload"].encode())
            assert refusal.value.reason == example["headers"]["__connect.errors.exception.message"]
            assert refusal.value.stage == example["headers"]["__connect.errors.stage"]


@pytest.mark.parametrize(
    ("name", "model"), [("risk_score", RiskScore), ("drift_alarm", DriftAlarm), ("heartbeat", Heartbeat)]
)
def test_examples_of_output_are_what_is_published(name: str, model: type[Struct]) -> None:
    found = [example["payload"] for _, message, example in examples() if message["name"] == name]
    for payload in found:
        assert model_of(model).model_validate_json(json.dumps(payload)).model_dump(mode="json") == payload
        assert list(payload) == list(model.__struct_fields__)
    assert found


def test_ids_of_examples_are_those_of_their_records() -> None:
    of = {message["name"]: example["payload"] for _, message, example in examples()}
    score, alarm = of["risk_score"], of["drift_alarm"]
    as_of_us = [time_us(datetime.fromisoformat(each["as_of"])) for each in (score, alarm)]
    assert score["score_id"] == score_id(score["account_id"], as_of_us[0], score["trigger"])
    assert alarm["alarm_id"] == alarm_id(as_of_us[1], alarm["kind"], alarm["subject"], alarm["method"])


def test_headers_of_dead_letters_are_those_that_are_sent() -> None:
    letter = DeadLetter(
        topic="t",
        partition=0,
        offset=1,
        stage="size",
        exception_class="Refused",
        exception_message="why",
        key=None,
        value=None,
        headers=[],
        refused_us=0,
    )
    schema = DOCUMENT["components"]["messages"]["DeadLetter"]["headers"]
    assert schema["required"] == [name for name, _ in letter.connect_headers()]
    check(schema, {name: value.decode() for name, value in letter.connect_headers()})


def test_servers_are_the_security_protocols_of_the_settings() -> None:
    protocols = {f"Kafka, {name}" for name in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")}
    assert {server["title"] for server in DOCUMENT["servers"].values()} == protocols
    named = yaml.safe_dump(DOCUMENT).replace("\n", " ")
    for field in Settings.model_fields:
        if field.startswith("kafka_") and not field.startswith(("kafka_ssl_key", "kafka_ssl_certificate")):
            assert f"C360_{field.upper()}" in named
