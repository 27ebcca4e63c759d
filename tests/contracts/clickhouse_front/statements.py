"""What a request asks for: its statement, data, parameters and settings, out of query string, form and body."""

from __future__ import annotations

import email.parser
import email.policy
import re
from dataclasses import dataclass, field

import pyarrow as pa

# Parameters of a request that are no settings of the engine.
TRANSPORT_PARAMETERS = {
    *("query", "database", "user", "password", "role", "quota_key", "query_id", "buffer_size", "wait_end_of_query"),
    *("session_id", "session_timeout", "session_check", "compress", "decompress", "enable_http_compression"),
    *("client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
}

_INSERT = re.compile(rb"\A(\s*INSERT\s+INTO\b.*?)\bFORMAT\s+(\w+)[ \t]*(?:\r?\n|\Z)", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)


@dataclass
class Statement:
    """A statement, its data if it is an insert with data, and what it is executed with."""

    sql: bytes
    data: bytes = b""
    data_format: str = ""
    database: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """What a statement brought: `result_format` is empty if it has no result."""

    body: bytes
    result_format: str
    summary: dict[str, str]


class Refusal(Exception):  # noqa: N818
    """An answer that is an error of ClickHouse's."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


def statement_of(url: dict[str, str], body: bytes, profile: dict[str, str]) -> Statement:
    """What a request asks for: its statement is in the query string, in the body, or begins there."""
    in_url = url.get("query", "").encode(errors="surrogateescape")
    whole = in_url + b"\n" + body if in_url else body
    if not whole.strip():
        raise Refusal(62, "Syntax error: Empty query. (SYNTAX_ERROR)")
    statement = Statement(
        whole,
        database=url.get("database", ""),
        parameters={name.removeprefix("param_"): value for name, value in url.items() if name.startswith("param_")},
        settings=profile
        | {
            name: value
            for name, value in url.items()
            if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
        },
    )
    if insert := _INSERT.match(whole):
        statement.sql, statement.data_format = insert[1], insert[2].decode()
        statement.data = whole[insert.end() :]
    return statement


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart form."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields = {}
    for part in form.iter_parts():
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        fields[str(part.get_param("name", header="Content-Disposition"))] = value.decode(errors="surrogateescape")
    return fields


def decompressed(body: bytes, coding: str) -> bytes:
    """A body in the coding of its header."""
    if coding in ("", "identity"):
        return body
    with pa.CompressedInputStream(pa.BufferReader(body), coding) as stream:
        plain: bytes = stream.read()
    return plain


def compressed(body: bytes, coding: str) -> bytes:
    """A body in a coding."""
    written = pa.BufferOutputStream()
    with pa.CompressedOutputStream(written, coding) as stream:
        stream.write(body)
    plain: bytes = written.getvalue().to_pybytes()
    return plain
