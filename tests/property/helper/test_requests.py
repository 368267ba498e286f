"""Whatever is sent, it becomes an operation or is refused; whatever becomes an operation was sent."""

import dataclasses
import json
import types
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.helper import protocol, registry, values
from banger.helper.operation import Operation, Refused
from tests.helper_operations import Echo

KINDS = (*registry.OPERATIONS, Echo)
EXAMPLES = 25
"""Of each operation; most of what is judged is the same for all of them."""

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=4,
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field, as an operation has them."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return st.one_of([of(each) for each in typing.get_args(hint)])
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        if items[-1] is Ellipsis:
            return st.lists(of(items[0]), max_size=3).map(tuple)
        return st.tuples(*map(of, items))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return instances(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(-(1 << 63), (1 << 63) - 1),
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        type(None): st.none(),
    }
    return plain[hint]


def instances(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{each.name: of(hints[each.name]) for each in dataclasses.fields(kind)})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.NAME)
@settings(max_examples=EXAMPLES)
@given(st.data())
def test_operations_there_and_back(kind: type[Operation], data: st.DataObject) -> None:
    operation = data.draw(instances(kind))
    request = protocol.Request(kind.NAME, values.encode(operation), data.draw(st.booleans()), "0abc")
    parsed = protocol.parse_request(protocol.request_frame(request)[protocol.HEADER.size :])
    assert parsed == request
    assert values.decode(kind, parsed.arguments) == operation


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.NAME)
@settings(max_examples=EXAMPLES)
@given(st.data())
def test_anything_is_decoded_or_refused(kind: type[Operation], data: st.DataObject) -> None:
    fields = [each.name for each in dataclasses.fields(kind)]
    given_fields = st.dictionaries(st.sampled_from([*fields, "other"]), JSON, max_size=8)
    arguments = data.draw(given_fields | JSON)
    try:
        operation = values.decode(kind, arguments)
    except Refused as refused:
        assert str(refused)
        return
    assert values.decode(kind, values.encode(operation)) == operation


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.NAME)
@settings(max_examples=EXAMPLES)
@given(st.data())
def test_what_nobody_has_judged_can_be_told_and_has_a_turn(kind: type[Operation], data: st.DataObject) -> None:
    """The log and the turn come before any gate for what is undone."""
    operation = data.draw(instances(kind))
    assert isinstance(operation.describe(), str)
    assert isinstance(operation.turn(), str)


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_request_or_refused(body: bytes) -> None:
    try:
        request = protocol.parse_request(body)
    except Refused:
        return
    assert json.loads(body)["operation"] == request.operation


@given(st.binary(max_size=200))
def test_any_body_is_a_reply_or_none(body: bytes) -> None:
    with pytest.raises((ValueError, Refused)):
        protocol.parse_reply(body)
