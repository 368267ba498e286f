"""Requests become operations strictly, or are refused."""

from typing import Any

import pytest

from banger.helper import registry, values
from banger.helper.operation import Refused
from tests.helper_operations import Echo, Part


def decoded(**arguments: Any) -> Echo:
    made = values.decode(Echo, {"text": "x", **arguments})
    assert isinstance(made, Echo)
    return made


def test_every_kind_of_field_there_and_back() -> None:
    echo = Echo(
        text="täxt\n",
        number=-(1 << 63),
        flag=True,
        content=bytes(range(256)),
        maybe="there",
        parts=(Part("a", b"1"), Part("b")),
        pair=("left", 2),
        part=Part("c"),
    )
    assert values.decode(Echo, values.encode(echo)) == echo


def test_defaults_need_not_be_sent() -> None:
    assert decoded() == Echo(text="x")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"text": 1}, "str is expected"),
        ({"text": None}, "str is expected"),
        ({"text": ["x"]}, "str is expected"),
        ({"text": "nul\0"}, "no text"),
        ({"text": "\ud800"}, "no text"),
        ({"text": "x" * (values.LONGEST + 1)}, "too long"),
        ({"number": True}, "int is expected"),
        ({"number": 1.0}, "int is expected"),
        ({"number": "1"}, "int is expected"),
        ({"number": 1 << 63}, "too large"),
        ({"flag": 1}, "bool is expected"),
        ({"flag": None}, "bool is expected"),
        ({"content": "not base64!"}, "no base64"),
        ({"content": "QQ"}, "no base64"),
        ({"content": "QQ==\n"}, "no base64"),
        ({"content": "QUJD\u00e9"}, "no base64"),
        ({"content": [65]}, "bytes is expected"),
        ({"maybe": 1}, "str is expected"),
        ({"parts": {}}, "a list is expected"),
        ({"parts": [1]}, "an object is expected"),
        ({"parts": [{"name": "a"}, {"content": ""}]}, r"parts\[1\]: name is missing"),
        ({"parts": [{"name": "a", "other": 1}]}, "there is no 'other'"),
        ({"pair": ["a"]}, "a list of 2"),
        ({"pair": ["a", 1, 2]}, "a list of 2"),
        ({"pair": [1, "a"]}, "str is expected"),
        ({"part": None}, "an object is expected"),
        ({"NAME": "x"}, "there is no 'NAME'"),
        ({"__class__": "x"}, "there is no '__class__'"),
        ({"\ud800": "x"}, r"there is no '\\ud800'"),
    ],
)
def test_whatever_else_is_sent_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        decoded(**arguments)


@pytest.mark.parametrize("arguments", [None, [], "text", 1, True])
def test_arguments_are_an_object(arguments: object) -> None:
    with pytest.raises(Refused, match="an object is expected"):
        values.decode(Echo, arguments)


def test_what_must_be_there_is_missed() -> None:
    with pytest.raises(Refused, match="text is missing"):
        values.decode(Echo, {})


@pytest.mark.parametrize("kind", registry.OPERATIONS, ids=lambda kind: kind.NAME)
def test_every_operation_of_the_registry_is_of_kinds_that_decode(kind: type[Any]) -> None:
    """A hint that `values` does not know would surface as an error of the helper's own, at the first request."""
    junk: list[object] = [None, 0, True, 1.5, "", "x", [], [0], {}, {"x": 0}]
    for name in kind.__dataclass_fields__:
        for value in junk:
            try:
                values.decode(kind, {name: value})
            except Refused:
                continue


def test_names_of_operations_are_unique_and_told() -> None:
    assert len(registry.BY_NAME) == len(registry.OPERATIONS)
    for kind in registry.OPERATIONS:
        noun, _, verb = kind.NAME.partition(".")
        assert noun.isidentifier() and verb.replace("-", "_").isidentifier()
        assert kind.GATE and "\n" not in kind.GATE
