"""Requests as values: JSON objects to operations and back, strictly.

A field that is missing without a default, unknown, or of another type is refused. bool is no int, and an int is no
float; bytes travel as base64. A str can be written as UTF-8, has no NUL and at most `LONGEST` characters; an int has 64
bits. What a value means is judged by the operation.
"""

import base64
import binascii
import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from .operation import Operation, Refused

LONGEST = 1 << 16


def encode(value: object) -> Any:
    """A field's value as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple | list):
        return [encode(each) for each in value]
    return value


def decode(kind: type[Operation], arguments: object) -> Operation:
    """An operation of ``kind`` from the JSON of a request. Raises `Refused`."""
    made = _struct(kind, arguments, kind.NAME)
    assert isinstance(made, Operation)
    return made


def _struct(kind: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise Refused(f"{where}: an object is expected")
    fields, hints = _form(kind)
    unknown = next((name for name in value if name not in fields), None)
    if unknown is not None:
        raise Refused(f"{where}: there is no {str(unknown)[:40]!a}")
    values = {}
    for name, field in fields.items():
        if name in value:
            values[name] = _value(hints[name], value[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Refused(f"{where}: {name} is missing")
    return kind(**values)


@functools.cache
def _form(kind: type) -> tuple[Mapping[str, "dataclasses.Field[Any]"], Mapping[str, Any]]:
    """The fields of a value, and their types."""
    return {each.name: each for each in dataclasses.fields(kind)}, typing.get_type_hints(kind)


def prepare(kinds: Iterable[type]) -> None:
    """Find out once what values of these kinds look like, so that no process that is forked later has to."""
    for kind in kinds:
        _form(kind)


def _value(hint: Any, value: object, where: str) -> object:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        (hint,) = (each for each in options if each is not type(None))
    if typing.get_origin(hint) is tuple:
        return _tuple(typing.get_args(hint), value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _struct(hint, value, where)
    if hint is bytes and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(f"{where}: no base64") from None
    if type(value) is not hint:
        raise Refused(f"{where}: {getattr(hint, '__name__', hint)} is expected")
    if isinstance(value, str):
        _text(value, where)
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise Refused(f"{where}: the number is too large")
    return value


def _tuple(items: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    """``tuple[X, ...]`` of any length, or ``tuple[X, Y]`` of that one."""
    if not isinstance(value, list):
        raise Refused(f"{where}: a list is expected")
    if items[-1] is Ellipsis:
        items = items[:1] * len(value)
    if len(value) != len(items):
        raise Refused(f"{where}: a list of {len(items)} is expected")
    pairs = zip(items, value, strict=True)
    return tuple(_value(item, each, f"{where}[{number}]") for number, (item, each) in enumerate(pairs))


def _text(value: str, where: str) -> None:
    if len(value) > LONGEST or "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
        raise Refused(f"{where}: no text, or too long")
