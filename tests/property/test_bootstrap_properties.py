"""What becomes of a repository's pins, whatever stands in its files."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from banger.bootstrap import guest, pins, versions
from banger.bootstrap.plan import build

SAFE = re.compile(r"[a-z]{2,10}@[0-9a-z][0-9a-z.-]{0,30}", re.ASCII)
TEXTS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(alphabet="0123456789.x*^~<>=|v -\n#;$`'\"", max_size=60).map(str.encode),
    st.text(max_size=40).map(lambda text: json.dumps({"engines": {"node": text}, "packageManager": text}).encode()),
    st.text(alphabet="gotlchain 0123456789.;$()\n-rcbeta", max_size=60).map(lambda text: f"go {text}".encode()),
)


@given(st.dictionaries(st.sampled_from(pins.NAMES), TEXTS, max_size=4))
def test_whatever_stands_in_the_files_the_words_are_safe_and_few(files: dict[str, bytes]) -> None:
    plan = build(files)
    *fixed, _, _, _, _ = guest.command(plan, "/root/x", "x")[:7]
    assert fixed == ["/bin/sh", "-c", guest.SCRIPT]
    steps = guest.command(plan, "/root/x", "x")[7:]
    assert len(steps) <= len(versions.TOOLS)
    assert all(SAFE.fullmatch(step) for step in steps)
    assert list(plan.steps) == sorted(plan.steps)
    assert len({each.tool for each in plan.steps}) == len(plan.steps)
    assert all(each.reason.isprintable() and len(each.reason) < 400 for each in plan.skips)
    sources = {each.source for each in plan.steps} | {each.source for each in plan.skips}
    assert sources | set(plan.managed) <= set(files)


numbers = st.lists(st.integers(0, 30), min_size=1, max_size=3).map(lambda each: ".".join(map(str, each)))
ranges = st.tuples(st.sampled_from([">=", "<", "<=", "~=", "=="]), numbers).filter(
    lambda each: each[0] != "~=" or "." in each[1]
)
series = numbers.map(lambda each: ("==", f"{each}.*"))


@given(st.lists(ranges | series, min_size=1, max_size=3))
def test_a_series_is_in_its_specifiers(wanted: list[tuple[str, str]]) -> None:
    """Of the series that is chosen, the newest version that could be is allowed, by packaging's own judgement."""
    text = ",".join(f"{operator}{version}" for operator, version in wanted)
    found = versions.of_python_specifiers(text)
    if found is None:
        return
    newest = found if found.count(".") == 2 else f"{found}.999"
    assert versions.known("python", found)
    assert Version(newest) in SpecifierSet(text), (text, found)
