"""Requests as values: JSON objects to operations and back, strictly.

A field that is missing without a default, unknown, or of another type is refused. bool is no int, and an int is no
float; bytes travel as base64.
"""

import base64
import binascii
import dataclasses
import types
import typing
from typing import Any

from .operation import Operation, Refused


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
    fields = {each.name: each for each in dataclasses.fields(kind)}
    unknown = next((name for name in value if name not in fields), None)
    if unknown is not None:
        raise Refused(f"{where}: there is no {str(unknown)[:40]!r}")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, field in fields.items():
        if name in value:
            values[name] = _value(hints[name], value[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Refused(f"{where}: {name} is missing")
    return kind(**values)


def _value(hint: Any, value: object, where: str) -> object:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        (hint,) = (each for each in options if each is not type(None))
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise Refused(f"{where}: a list is expected")
        item = typing.get_args(hint)[0]
        return tuple(_value(item, each, f"{where}[{number}]") for number, each in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _struct(hint, value, where)
    if hint is bytes and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(f"{where}: no base64") from None
    if type(value) is not hint:
        raise Refused(f"{where}: {getattr(hint, '__name__', hint)} is expected")
    return value
