"""The lines of keys in TOML documents, against the parser of the standard library."""

import tomllib

from hypothesis import assume, example, given
from hypothesis import strategies as st

from banger.config.lines import Key, find
from banger.config.values import key_written, written

_NAMES = st.sampled_from(["a", "b", "c-d", "e_1", "x.y", "ä", "", "#", "=", "]", "'", '"', "\n", "true", "1"])
_BLANK = st.sampled_from(["", " ", "\t "])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_STRINGS = st.one_of(
    _TEXT.map(written),
    st.sampled_from(
        [
            "''",
            "'#'",
            "'a\\'",
            '""',
            '"\\""',
            '"# [a]"',
            '"""a\n[b]\nc = 1"""',
            '"""\n"" \\""" """',
            "'''\n[x]\n'' '''",
            '"""a""""',
            "'''b'''''",
            '"""\\\n  z"""',
        ]
    ),
)
_SCALARS = st.one_of(
    _STRINGS, st.sampled_from(["1", "-0.5", "1e3", "true", "0xff", "1979-05-27 07:32:00Z", "07:32:00", "inf"])
)


@st.composite
def _keys(draw: st.DrawFn) -> str:
    names = draw(st.lists(_NAMES, min_size=1, max_size=3))
    quoted = [f"'{each}'" if draw(st.booleans()) and "'" not in each and "\n" not in each else key_written(each)
              for each in names]  # fmt: skip
    return draw(_BLANK) + f"{draw(_BLANK)}.{draw(_BLANK)}".join(quoted) + draw(_BLANK)


def _inline(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(_keys(), values), max_size=3)
    return pairs.map(lambda found: "{" + ",".join(f"{key}={value}" for key, value in found) + "}")


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    between = st.sampled_from([",", " , ", ",\n", ", # a comment, ]\n\n"])
    pieces = st.tuples(st.lists(values, max_size=3), between, st.sampled_from(["", "\n", ",", ",\n# ]\n"]))
    return pieces.map(lambda each: "[" + each[1].join(each[0]) + (each[2] if each[0] else "") + "]")


_VALUES = st.recursive(_SCALARS, lambda values: st.one_of(_inline(values), _array(values)), max_leaves=6)
_LINES = st.one_of(
    st.tuples(_keys(), _BLANK, _VALUES).map("=".join).map(lambda each: each.replace("==", "=")),
    st.tuples(_keys(), _VALUES).map("= ".join),
    _keys().map(lambda key: f"[{key}]"),
    _keys().map(lambda key: f"[[{key}]]"),
    st.sampled_from(["", "# [a]", "  \t", "# '''"]),
)
_DOCUMENTS = st.lists(_LINES, max_size=7).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", " # c = 1\n"]).map(lambda end: "".join(line + end for line in lines))
)


def keys_of(value: object, place: Key = ()) -> set[Key]:
    """Every key that a parsed document has, and every value of an array."""
    found: set[Key] = set()
    if isinstance(value, dict):
        for name, each in value.items():
            found |= {(*place, name)} | keys_of(each, (*place, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            found |= {(*place, number)} | keys_of(each, (*place, number))
    return found


@given(_DOCUMENTS)
@example("[[a]]\nb = 1\n[a.c]\n[[a]]\n[[a.d]]\nx.y = {z = [1, {w = 2}]}\n")
def test_every_key_is_found_where_it_begins_to_be_one(text: str) -> None:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    found = find(text)
    assert set(found) == keys_of(parsed)
    lines = text.replace("\r\n", "\n").split("\n")
    for key, line in found.items():
        before = "\n".join(lines[: line - 1])
        try:
            assert key not in keys_of(tomllib.loads(before))
        except tomllib.TOMLDecodeError:  # the line before is in the middle of an array
            pass
        name = next(each for each in reversed(key) if isinstance(each, str))
        if isinstance(key[-1], str) and "\n" not in name:
            assert name in lines[line - 1] or key_written(name) in lines[line - 1]


@given(st.text(max_size=200) | st.lists(st.sampled_from(list("[]{}='\".,# \nab\\")), max_size=60).map("".join))
def test_what_is_no_toml_ends_too(text: str) -> None:
    find(text)
