"""How a record is read under the contract, written to be obviously right: the decoder is tested against it."""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn, Union, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from c360_stream.contracts.events.contract import EVENT_BYTES_MAX, EVENTS, NESTING_MAX
from c360_stream.contracts.kinds import InputKind
from c360_stream.contracts.validation import model_of


def _contract(events: Any) -> TypeAdapter[BaseModel]:
    if isinstance(events, type):
        return TypeAdapter(model_of(events))
    models: Any = Union[tuple(map(model_of, get_args(events)))]  # noqa: UP007 - of types that are known only now
    tagged: Any = Annotated[models, Field(discriminator="event_type")]
    return TypeAdapter(tagged)


CONTRACTS = {kind: _contract(events) for kind, events in EVENTS.items()}

# Rules that hold for the value that counts, not for one that a repeated field has overridden.
_RULES_OF_THE_LAST = {"string_pattern_mismatch", "event_time_range"}


class _Object(list[tuple[str, object]]):
    """A JSON object with its repeated fields."""


def validate_reference(kind: InputKind, raw: bytes) -> BaseModel:
    """Read one record by the contract. Slow; for tests and for explaining a refusal.

    The record is one JSON object (RFC 8259) in UTF-8, without a byte order mark, NaN, Infinity or half a surrogate
    pair, at most `EVENT_BYTES_MAX` bytes and `NESTING_MAX` levels. Of a repeated field the last value counts; the
    others must have its JSON type and length, and a repeated type of a billing or support event must not differ.

    Raises
    ------
    ValueError
        If the record is refused (`pydantic.ValidationError` where a field is to blame).
    """
    if len(raw) > EVENT_BYTES_MAX:
        raise ValueError(f"over {EVENT_BYTES_MAX} bytes")
    fields = _parse(raw)
    last = dict(fields)
    for name, value in fields:
        if value is not last[name]:
            _check_overridden(kind, last, name, value)
    event: BaseModel = CONTRACTS[kind].validate_python(last)
    return event


def _parse(raw: bytes) -> _Object:
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_Object, parse_int=_integer, parse_constant=_refuse_constant)
        if _nesting(value) > NESTING_MAX:
            raise ValueError(f"nested deeper than {NESTING_MAX} levels")
    except RecursionError:
        raise ValueError(f"nested deeper than {NESTING_MAX} levels") from None
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no encoding
    if not isinstance(value, _Object):
        raise ValueError("not an object")
    return value


def _integer(digits: str) -> int | float:
    # Past some length Python refuses to convert, which must not decide about a field that is ignored.
    return int(digits) if len(digits) < 400 else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _nesting(value: object) -> int:
    if isinstance(value, _Object):
        return 1 + max([_nesting(member) for _, member in value], default=0)
    if isinstance(value, list):
        return 1 + max([_nesting(member) for member in value], default=0)
    return 0


def _check_overridden(kind: InputKind, last: dict[str, object], name: str, value: object) -> None:
    if name == "event_type" and kind != "product" and value != last[name]:
        raise ValueError("event_type: repeated with another value")
    try:
        CONTRACTS[kind].validate_python({**last, name: value})
    except ValidationError as error:
        if any(problem["type"] not in _RULES_OF_THE_LAST for problem in error.errors()):
            raise
