"""Declared state: a class names the fields that a snapshot holds, with their types; both directions follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from itertools import chain
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from c360_stream.errors import StateError
from c360_stream.state.codec import Pages
from c360_stream.state.layout import START_OVER, Layout, differences, under

T = TypeVar("T")


class Codec(NamedTuple):
    """How a field is stored.

    Parameters
    ----------
    text
        In words, for the layout.
    dump
        Turns the value into plain data.
    load
        Turns plain data into the value, given also what the field holds at present: a part is restored in place.
    below
        Layout of what it consists of, where that has names.
    """

    text: str
    dump: Callable[[Any], Any]
    load: Callable[[Any, Any], Any]
    below: Layout = ()


Fields = dict[str, Codec]
PlainState = Mapping[str, Any]
"""What a snapshot holds of an object: plain data by the public name of the field."""


class Kept:
    """What a snapshot holds: the fields that `kept` names, and no others.

    Fields that follow from these are not stored: `restored` makes them anew. A field may be a property.

    Examples
    --------
    >>> class Days(Kept):
    ...     kept = fields(_days=dict[int, tuple[int, float]])
    ...
    ...     def __init__(self) -> None:
    ...         self._days = {7: (40, 0.5)}
    >>> Days().state(), Days.layout()
    ({'days': {7: (40, 0.5)}}, ('days: dict of integer to (integer, number)',))
    >>> days = Days()
    >>> days.restore({"days": {8: [1, 1.0]}})
    >>> days._days
    {8: (1, 1.0)}
    """

    kept: ClassVar[Fields] = {}

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`, to be packed before anything changes: large arrays are those in use."""
        return _dumped(self, self.kept)

    def restore(self, state: PlainState) -> None:
        """Restore what `state` gave; to be called on a new object."""
        _load(state, self, self.kept)
        self.restored()

    def restored(self) -> None:
        """Make anew what follows from the fields."""

    @classmethod
    def layout(cls) -> Layout:
        """How its state is stored: a line per field."""
        return _layout(cls.kept)


def fields(**types: object) -> Fields:
    """Declare the fields of a class.

    Parameters
    ----------
    types
        Type of each: `int`, `float`, `str`, `bool`, `bytes`, an optional, `list`, `deque`, `dict` or `tuple` of these,
        `NDArray` of a dtype, a named tuple, dataclass or struct, a `Kept` class; or a `Codec`.

    Raises
    ------
    TypeError
        If a type cannot be stored.
    """
    return {name: codec_of(each) for name, each in types.items()}


def codec_of(each: object) -> Codec:
    """The codec of a type; raises `TypeError` as `fields` does."""
    if isinstance(each, Codec):
        return each
    if each in _PLAIN:
        return _PLAIN[each]
    kind, parts = get_origin(each), get_args(each)
    if kind in (Union, UnionType) and len(parts) == 2 and NoneType in parts:
        return optional(next(part for part in parts if part is not NoneType))
    if kind in _GENERIC:
        return _GENERIC[kind](*parts)
    if isinstance(each, type) and issubclass(each, Kept):
        return _part(each)
    if is_dataclass(each) or hasattr(each, "_fields") or hasattr(each, "__struct_fields__"):
        return record(each)
    raise TypeError(f"{each} cannot be stored; declare a codec for it")


def _public(name: str) -> str:
    return name.lstrip("_")


def _dumped(value: Any, kept: Fields) -> dict[str, Any]:
    return {_public(name): codec.dump(getattr(value, name)) for name, codec in kept.items()}


def _load(state: PlainState, now: Any, kept: Fields) -> Any:
    for name, codec in kept.items():
        setattr(now, name, codec.load(state[_public(name)], getattr(now, name, None)))
    return now


def _layout(kept: Fields) -> Layout:
    return tuple(line for name, codec in kept.items() for line in _lines(_public(name), codec))


def _lines(path: str, codec: Codec) -> Layout:
    return (f"{path}: {codec.text}", *under(path, codec.below))


def _same(value: T) -> T:
    return value


def _as_is(plain: T, _: object) -> T:
    return plain


_PLAIN: dict[Any, Codec] = {
    kind: Codec(text, _same, _as_is)
    for kind, text in ((int, "integer"), (float, "number"), (str, "text"), (bool, "flag"), (bytes, "bytes"))
}


def _is_plain(codec: Codec) -> bool:
    return codec.dump is _same and codec.load is _as_is


def optional(each: object) -> Codec:
    """As `each | None`, where it is a codec."""
    text, dump, load, below = codec = codec_of(each)
    if _is_plain(codec):
        return codec._replace(text=f"{text} or none")
    return Codec(
        f"{text} or none",
        lambda value: None if value is None else dump(value),
        lambda plain, now: None if plain is None else load(plain, now),
        below,
    )


def list_of(item: object) -> Codec:
    """As `list[item]`, where the item is a codec."""
    text, dump, load, below = codec = codec_of(item)
    return Codec(
        f"list of {text}",
        _same if dump is _same else lambda value: [dump(each) for each in value],
        (lambda plain, _: list(plain)) if _is_plain(codec) else lambda plain, _: [load(each, None) for each in plain],
        under("*", below),
    )


def deque_of(item: object) -> Codec:
    """As `deque[item]`, where the item is a codec; its maximum length is that of the present one."""
    text, dump, load, below = list_of(item)
    return Codec(text, lambda value: dump(list(value)), lambda plain, now: deque(load(plain, None), now.maxlen), below)


def dict_of(key: object, value: object) -> Codec:
    """As `dict[key, value]`, where the value is a codec."""
    text, dump, load, below = codec_of(value)
    return Codec(
        f"dict of {codec_of(key).text} to {text}",
        _same if dump is _same else lambda values: {name: dump(each) for name, each in values.items()},
        lambda plain, now: {name: load(each, now.get(name) if now else None) for name, each in plain.items()},
        under("*", below),
    )


def tuple_of(*parts: object) -> Codec:
    """As `tuple[parts]`, where some part is a codec."""
    if parts[1:] == (...,):
        text, dump, load, below = list_of(parts[0])
        return Codec(text, dump, lambda plain, _: tuple(load(plain, None)), below)
    codecs = [codec_of(part) for part in parts]
    text = f"({', '.join(codec.text for codec in codecs)})"
    if all(map(_is_plain, codecs)):
        return Codec(text, _same, lambda plain, _: tuple(plain))
    same = all(codec.dump is _same for codec in codecs)
    return Codec(
        text,
        _same if same else lambda value: [codec.dump(each) for codec, each in zip(codecs, value, strict=True)],
        lambda plain, now: tuple(
            codec.load(*each) for codec, *each in zip(codecs, plain, now or [None] * len(codecs), strict=True)
        ),
        tuple(line for number, codec in enumerate(codecs) for line in under(str(number), codec.below)),
    )


def _array(_: object, dtype: object) -> Codec:
    kind: np.dtype[Any] = np.dtype(get_args(dtype)[0])

    def dump(value: Any) -> Any:
        if value.dtype != kind:
            raise TypeError(f"an array that is declared as {kind} is of {value.dtype}")
        return value

    def load(plain: Any, _: Any) -> Any:
        if plain.dtype != kind:
            raise StateError(f"a snapshot has an array of {plain.dtype} where {kind} belongs", "report this")
        return plain

    return Codec(f"{kind} array", dump, load)


def copied(each: object) -> Codec:
    """A small array or dict that changes in place: a state that was taken holds what it was then."""
    text, dump, load, _ = codec_of(each)
    return Codec(text, lambda value: dump(value).copy(), lambda plain, now: load(plain, now).copy())


def _names(cls: Any) -> tuple[str, ...]:
    for attribute in ("_fields", "__struct_fields__"):
        if hasattr(cls, attribute):
            return tuple(getattr(cls, attribute))
    return tuple(each.name for each in dataclass_fields(cls))


def record(cls: Any, **given: Any) -> Codec:
    """A dataclass, named tuple or struct, by the types of its fields; `given` ones instead, if types are not enough."""
    names = _names(cls)
    hints = get_type_hints(cls) | given
    codecs = [codec_of(hints[name]) for name in names]
    below = tuple(line for name, codec in zip(names, codecs, strict=True) for line in _lines(name, codec))
    pairs = list(zip(names, codecs, strict=True))

    def load(plain: Any, _: Any) -> Any:
        return cls(*[codec.load(each, None) for codec, each in zip(codecs, plain, strict=True)])

    if all(map(_is_plain, codecs)) and hasattr(cls, "_fields"):
        return Codec("record", _same, lambda plain, _: cls(*plain), below)
    return Codec("record", lambda value: [codec.dump(getattr(value, name)) for name, codec in pairs], load, below)


def _part(cls: type[Kept]) -> Codec:
    if not cls.kept:
        raise TypeError(f"{cls} cannot be stored: it declares no fields")
    return in_place("part")._replace(below=cls.layout())


def part_of(cls: type[Kept], *names: str) -> Codec:
    """Some fields of a part; of the rest nothing is to be kept."""
    kept = {name: cls.kept[name] for name in names}
    return Codec("part", lambda value: _dumped(value, kept), lambda plain, now: _load(plain, now, kept), _layout(kept))


def in_place(text: str) -> Codec:
    """An object with a `state` and `restore` of its own, whatever it does in them; `text` describes what is stored."""

    def load(plain: Any, now: Any) -> Any:
        now.restore(plain)
        return now

    return Codec(text, lambda value: value.state(), load)


def of_kind(what: str) -> Codec:
    """A `Kept` object of the class that settings or a catalogue chose: its state carries its layout.

    Loading raises `StateError` if the state is of another layout.
    """

    def load(plain: Any, now: Any) -> Any:
        before, state = plain
        if differing := differences(before, now.layout()):
            raise StateError(f"a snapshot's {what} has another layout: {differing}", START_OVER)
        now.restore(state)
        return now

    return Codec(f"{what} with its layout", lambda value: [value.layout(), value.state()], load)


def stored_as(plainer: object, dump: Callable[[Any], Any], load: Callable[[Any], Any]) -> Codec:
    """What is stored as something of another type: JSON, or the numbers that an object was made of."""
    codec = codec_of(plainer)
    return codec._replace(
        dump=lambda value: codec.dump(dump(value)), load=lambda plain, now: load(codec.load(plain, now))
    )


def known(item: Codec) -> Codec:
    """A dict of parts that are there already, by name, restored where they are: what was kept of others is dropped."""
    text, dump, _, below = dict_of(str, item)

    def load(plain: Any, now: Any) -> Any:
        for name in now.keys() & plain.keys():
            item.load(plain[name], now[name])
        return now

    return Codec(text, dump, load, below)


def one_of(**records: type) -> Codec:
    """A record of one of several classes, stored with a word for its class."""
    codecs = {word: record(cls) for word, cls in records.items()}
    words = {cls: word for word, cls in records.items()}

    def dump(value: Any) -> Any:
        word = words[type(value)]
        return [word, codecs[word].dump(value)]

    below = (line for word, codec in codecs.items() for line in under(word, codec.below))
    return Codec("one of " + ", ".join(codecs), dump, lambda plain, _: codecs[plain[0]].load(plain[1], None), (*below,))


def pages_of(page: object) -> Codec:
    """A property that gives `Pages`, and takes a list of them back."""
    text, _, load, below = codec_of(page)
    return Codec(
        f"pages of {text}",
        _same,
        lambda plain, _: [load(each, None) for each in plain],
        under("*", below),
    )


def paged_list(item: object, length: int) -> Codec:
    """A long list that grows at its end, of plain items: only its last page changes."""
    return Codec(
        f"pages of {codec_of(item).text}",
        lambda values: Pages.cut(values, length),
        lambda plain, _: list(chain.from_iterable(plain)),
    )


def paged_by_account(value: object) -> Codec:
    """What some accounts have, by their index: most pages do not change. Values must be plain but for names of fields.

    Raises
    ------
    TypeError
        If they are not.
    """
    text, dump, load, below = codec_of(value)
    if dump is not _same:
        raise TypeError(f"{value} cannot be stored in pages")
    return Codec(
        f"pages of {text} by account",
        lambda values: Pages.by_account(values, max(values, default=-1) + 1),
        lambda plain, _: {account: load(each, None) for account, each in Pages.joined(plain)},
        under("*", below),
    )


PLAIN = Codec("plain data", _same, _as_is)

_GENERIC: dict[Any, Callable[..., Codec]] = {
    list: list_of,
    deque: deque_of,
    dict: dict_of,
    tuple: tuple_of,
    np.ndarray: _array,
    Literal: lambda *_: _PLAIN[str],
}
