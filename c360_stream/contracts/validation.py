"""Pydantic models of what is declared as structs: JSON Schemas are made from them, and records checked against them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from textwrap import dedent
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields
from pydantic import BaseModel, ConfigDict, Field, create_model

_BOUNDS = ("ge", "le", "min_length", "max_length")


class _Model(BaseModel):
    # `extra` stays open, so that a reader with today's schema accepts a record with tomorrow's extra field.
    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        frozen=True,
        protected_namespaces=(),
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


@cache
def model_of(declared: type[Struct]) -> type[BaseModel]:
    """The model with a struct's fields: names as published, bounds, defaults, and as descriptions their docstrings.

    `Meta(extra={"model": ...})` gives the type that pydantic takes in place of the struct's. It is for what is declared
    as text or as a number for speed, or has a rule that no struct can check.

    Examples
    --------
    >>> from c360_stream.contracts.records import HorizonRisk
    >>> model_of(HorizonRisk).model_json_schema()["properties"]["horizon_days"]
    {'minimum': 1, 'title': 'Horizon Days', 'type': 'integer'}
    """
    described = dict(_descriptions(declared))
    found: dict[str, Any] = {}
    for field in fields(declared):
        default = field.default if field.default_factory is NODEFAULT else field.default_factory()
        details: dict[str, Any] = {} if default is NODEFAULT else {"default": default}
        found[field.encode_name] = (_pydantic(field.type), Field(description=described.get(field.name), **details))
    config, parent = declared.__struct_config__, declared.__base__
    if config.tag_field is not None and parent is not None:  # a tag is no field: here it is, before the struct's own
        items = list(found.items())
        items.insert(len(fields(parent)), (config.tag_field, (Literal[config.tag], ...)))
        found = dict(items)
    return create_model(declared.__name__, __base__=_Model, __doc__=declared.__doc__, **found)


def _pydantic(kind: Any) -> Any:
    """The pydantic type of a type that msgspec knows."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return model_of(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        metas = inner[1:]
        replaced = [meta.extra["model"] for meta in metas if meta.extra and "model" in meta.extra]
        bounds = {name: bound for meta in metas for name in _BOUNDS if (bound := getattr(meta, name)) is not None}
        bare = replaced[-1] if replaced else _pydantic(inner[0])
        return Annotated[bare, Field(**bounds)] if bounds else bare
    if origin in (Union, UnionType):
        return Union[tuple(map(_pydantic, inner))]  # noqa: UP007 - of types that are known only now
    return origin[tuple(map(_pydantic, inner))] if origin in (list, tuple) else kind


def _descriptions(declared: type[Struct]) -> Iterator[tuple[str, str]]:
    """Fields and the docstrings below them, of the struct and before it of those that it inherits from."""
    for each in reversed([each for each in declared.__mro__ if issubclass(each, Struct) and each is not Struct]):
        [body] = ast.parse(dedent(inspect.getsource(each))).body
        for field, below in pairwise(getattr(body, "body", ())):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                yield field.target.id, inspect.cleandoc(ast.literal_eval(below.value))
