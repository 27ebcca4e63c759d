"""Puts the AsyncAPI document together: servers, channels, operations, and the contracts' schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from c360_stream import __version__
from c360_stream.settings import Settings
from c360_stream.tools.schemas.channels import TOPICS, MessageKind, Topic

ASYNCAPI_VERSION = "3.0.0"  # 3.1 adds nothing for Kafka, and fewer tools read it
BINDING_VERSION = "0.5.0"
PARTITIONS = Settings.model_construct().topic_partitions
"""Of the topics that `c360 setup` makes."""
_LINE_LETTERS = 110
_ABOUT = """\
Churn detection for account-based businesses: product, billing and support events in; risk scores, drift alarms and
refused input out.

**Topics.** `c360 setup` makes them, with 4 partitions and the cluster's default replication (`C360_TOPIC_PARTITIONS`,
`C360_TOPIC_REPLICATION`), and leaves alone what is there; the addresses begin with `C360_TOPIC_PREFIX`. It also makes
`{prefix}.outbox.v1`, which is internal: it says which batches have been published, may change at any time, and must not
be written, read or emptied.

**Delivery.** Read with `isolation.level=read_committed`. With `--recovery` each score of a tick, tombstone, alarm and
dead letter is there exactly once, whatever crashed meanwhile; scores between ticks at least once, under the same
`score_id`. Scores and alarms have ids that are the same in every run.

**Evolution.** Within `v1` fields are only added: ignore what you do not know, and expect values of enumerations that
are not listed yet. What would break a reader gets a new topic, `v2`.
"""
_BROKERS = {
    "default": "localhost:9092",
    "description": "`C360_KAFKA_BROKERS`: host:port, several with commas.",
}
_PREFIX = {"default": "c360", "description": "`C360_TOPIC_PREFIX`: 1 to 64 letters, digits, _ and -."}
_TAGS = {
    "input": "What producers send.",
    "output": "What this program sends.",
    "risk": "For customer success, CRM and lifecycle marketing.",
    "monitoring": "For those who run it.",
    "errors": "For those who send input.",
}


def document(contracts: Iterable[TypeAdapter[Any]]) -> dict[str, Any]:
    """The document as plain data. The same contracts give the same document.

    Parameters
    ----------
    contracts
        Of the events and records; their models become the document's schemas.
    """
    used = {name for topic in TOPICS for name in topic.tags}
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "c360-stream",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": name, "description": what} for name, what in _TAGS.items() if name in used],
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {topic.id: _channel(topic) for topic in TOPICS},
        "operations": {topic.operation: _operation(topic) for topic in TOPICS},
        "components": {
            "schemas": _schemas(contracts),
            "messages": {kind.id: _message(topic, kind) for topic in TOPICS for kind in topic.messages},
            "parameters": {"prefix": _PREFIX},
            "securitySchemes": {
                "certificate": {
                    "type": "X509",
                    "description": "`C360_KAFKA_SSL_CERTIFICATE_LOCATION`, `_KEY_LOCATION`, `_KEY_PASSWORD`.",
                },
                "plain": _password("plain", "PLAIN"),
                "scramSha256": _password("scramSha256", "SCRAM-SHA-256"),
                "scramSha512": _password("scramSha512", "SCRAM-SHA-512"),
            },
        },
    }


def as_yaml(content: Mapping[str, Any]) -> str:
    """A document as YAML: long texts as blocks, nothing by reference of YAML's own."""
    import yaml  # of the development dependencies: nothing else needs it

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else ">" if len(value) > _LINE_LETTERS else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)

    Dumper.add_representer(str, text)
    head = "# Generated from the contracts: make schemas\n"
    return head + yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=_LINE_LETTERS)


def _servers() -> dict[str, Any]:
    mechanisms = [_security(name) for name in ("plain", "scramSha256", "scramSha512")]
    ca = "`C360_KAFKA_SSL_CA_LOCATION` names the authorities that vouch for the brokers."
    return {
        "plaintext": _server("kafka", "PLAINTEXT", "Neither encrypted nor authenticated: a private network only."),
        "ssl": _server(
            "kafka-secure",
            "SSL",
            f"TLS; with a certificate of the client, if the brokers ask for one. {ca}",
            [_security("certificate")],
        ),
        "saslSsl": _server("kafka-secure", "SASL_SSL", f"A password over TLS: what to use. {ca}", mechanisms),
        "saslPlaintext": _server(
            "kafka", "SASL_PLAINTEXT", "A password that is not encrypted: `c360 doctor` warns.", mechanisms
        ),
    }


def _server(
    protocol: str, setting: str, description: str, security: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    return {
        "host": "{brokers}",
        "protocol": protocol,
        "title": f"Kafka, {setting}",
        "description": f"`C360_KAFKA_SECURITY_PROTOCOL={setting}`. {description}",
        "variables": {"brokers": _BROKERS},
        **({"security": security} if security else {}),
    }


def _security(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/securitySchemes/{name}"}


def _password(kind: str, mechanism: str) -> dict[str, str]:
    where = "`C360_KAFKA_SASL_USERNAME` and `C360_KAFKA_SASL_PASSWORD`, or a file by `C360_KAFKA_SASL_PASSWORD_FILE`"
    return {"type": kind, "description": f"`C360_KAFKA_SASL_MECHANISM={mechanism}`; {where}."}


def _channel(topic: Topic) -> dict[str, Any]:
    binding: dict[str, Any] = {"partitions": PARTITIONS}
    if topic.configuration:
        binding["topicConfiguration"] = dict(topic.configuration)
    return {
        "address": topic.address,
        "title": topic.title,
        "summary": topic.summary,
        "description": topic.description,
        "messages": {kind.id: {"$ref": f"#/components/messages/{kind.id}"} for kind in topic.messages},
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "tags": [{"name": name} for name in topic.tags],
        "bindings": {"kafka": binding | {"bindingVersion": BINDING_VERSION}},
    }


def _operation(topic: Topic) -> dict[str, Any]:
    client = {"type": "string", "const": "c360-stream"}
    return {
        "action": topic.action,
        "channel": {"$ref": f"#/channels/{topic.id}"},
        "title": f"{'Receive' if topic.action == 'receive' else 'Send'} {topic.title.lower()}",
        "summary": topic.summary,
        "description": topic.delivery,
        "messages": [{"$ref": f"#/channels/{topic.id}/messages/{kind.id}"} for kind in topic.messages],
        "tags": [{"name": name} for name in topic.tags],
        "bindings": {"kafka": {"clientId": client, "bindingVersion": BINDING_VERSION}},
    }


def _message(topic: Topic, kind: MessageKind) -> dict[str, Any]:
    by_name = isinstance(kind.payload, str)
    return {
        "name": kind.name,
        "summary": kind.summary,
        **({"description": kind.description} if kind.description else {}),
        "contentType": kind.content_type,
        **({"headers": dict(kind.headers)} if kind.headers else {}),
        "payload": {"$ref": f"#/components/schemas/{kind.payload}"} if by_name else dict(kind.payload),  # type: ignore[arg-type]
        **({"correlationId": _correlation(kind.correlation)} if kind.correlation else {}),
        "tags": [{"name": name} for name in topic.tags],
        "bindings": {"kafka": {"key": dict(topic.key), "bindingVersion": BINDING_VERSION}},
        "examples": [dict(example) for example in kind.examples],
    }


def _correlation(name: str) -> dict[str, str]:
    return {"description": "The same for every repetition of a record.", "location": f"$message.payload#/{name}"}


def _schemas(contracts: Iterable[TypeAdapter[Any]]) -> dict[str, Any]:
    """Every model that a payload needs, under its own name.

    AsyncAPI takes an object in `discriminator` for a mistake, so a union of events is one message each instead.
    """
    known: dict[str, Any] = {}
    for contract in contracts:
        schema = contract.json_schema(ref_template="#/components/schemas/{model}")
        known |= schema.pop("$defs", {})
        if "title" in schema:
            known[schema["title"]] = schema
    names = {kind.payload for topic in TOPICS for kind in topic.messages if isinstance(kind.payload, str)}
    while more := {each for name in names for each in _referred(known[name])} - names:
        names |= more
    return {name: known[name] for name in sorted(names)}


def _referred(schema: Any) -> set[str]:
    """Names of the schemas that a schema refers to."""
    if isinstance(schema, Mapping):
        own = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return own.union(*map(_referred, schema.values()))
    return set().union(*map(_referred, schema)) if isinstance(schema, list) else set()
