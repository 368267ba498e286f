"""References as names in a layout."""

import re

from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.oci.cache import layout_name
from banger.oci.reference import parse

COMPONENT = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
GRAMMAR = re.compile(rf"{COMPONENT}(?:/{COMPONENT})*")
"""What skopeo takes for a name in a layout."""


def unescaped(name: str) -> str:
    data = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), name.encode())
    return data.decode("utf-8", "surrogateescape")


@given(st.text(min_size=1) | st.from_regex(r"[a-z0-9\[][a-z0-9:/@._+-]{0,30}", fullmatch=True))
def test_a_reference_has_a_name_of_its_own_that_skopeo_takes(text: str) -> None:
    try:
        reference = str(parse(text, "/srv"))
    except errors.InvalidReference:
        return
    name = layout_name(reference)
    assert GRAMMAR.fullmatch(name)
    assert unescaped(name) in (reference, "0" + reference)


def test_what_people_use_stays_as_it_is() -> None:
    for name in ("docker.io/library/debian:bookworm", "127.0.0.1:5000/a/b_c:v1.2", f"quay.io/a@sha256:{'0' * 64}"):
        assert layout_name(name) == name
    assert layout_name("oci:/srv/layout:v1") == "oci+3A+2Fsrv/layout:v1"
    assert layout_name("[::1]:5000/a:1") == "0+5B+3A+3A1+5D+3A5000/a:1"
