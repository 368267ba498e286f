"""Values as TOML has them, there and back."""

import tomllib

import pytest

from banger.config.values import key_written, written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a "b" \\ \n\x00\x7fä', '"a \\"b\\" \\\\ \\n\\u0000\\u007fä"'),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        (["a", 1], '["a", 1]'),
        ({"a": "x", "b c": {"d": False}}, '{a = "x", "b c" = {d = false}}'),
    ],
)
def test_a_value_is_written_as_toml_reads_it(value: object, text: str) -> None:
    assert written(value) == text
    assert tomllib.loads(f"k = {text}")["k"] == value


def test_sizes_have_a_unit_and_zero_has_none() -> None:
    assert [written(each, sized=True) for each in (0, 1 << 20, 8 << 30, 3008 << 20)] == ["0", '"1M"', '"8G"', '"3008M"']
    assert written(None) == "unset"


@pytest.mark.parametrize(("key", "text"), [("a-B_1", "a-B_1"), ("a.b", '"a.b"'), ("", '""'), ("ä", '"ä"')])
def test_a_key_is_quoted_where_it_must_be(key: str, text: str) -> None:
    assert key_written(key) == text
    assert tomllib.loads(f"{text} = 1") == {key: 1}
