"""Documents against `json`, whose part in C they are."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger import document

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.sampled_from([None, 1]))
def test_what_json_wrote_is_read(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert document.loads(text) == value
    assert document.loads(f" \n{text}\t".encode("utf-8", "replace")) == json.loads(text.encode("utf-8", "replace"))


@given(values)
def test_what_is_written_is_what_json_writes(value: object) -> None:
    assert document.dumps(value) == json.dumps(value, separators=(",", ":"))
    assert document.shown(value) == json.dumps(value, indent=2)


@given(st.text(alphabet='{}[]",:0123456789.-+eEtruefalsn\\/ \n\x00é', max_size=12))
def test_refuses_what_json_refuses(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            document.loads(text)
    else:
        assert document.loads(text) == expected


def test_bytes_that_are_no_text_are_no_document() -> None:
    with pytest.raises(ValueError):
        document.loads(b'"\xff"')


def test_constants_that_json_knows() -> None:
    assert math.isnan(document.loads("NaN"))
    assert document.loads("[Infinity, -Infinity]") == [math.inf, -math.inf]


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes is no plain data"):
        document.dumps({"a": [b"x"]})


@given(values, values)
def test_a_kind_is_what_isinstance_says_of_it(one: object, other: object) -> None:
    for kind in (str, int, float, list, dict):
        assert document.fits(one, kind) == isinstance(one, kind)
        assert document.fits([one, other], [kind]) == all(isinstance(each, kind) for each in (one, other))
        assert document.fits({"a": one, "b": other}, {"a": kind}) == isinstance(one, kind)
        assert document.fits(one, (kind, None)) == (one is None or isinstance(one, kind))
        assert document.fits({}, {"a": (kind, None)})
        assert not document.fits({}, {"a": kind})
