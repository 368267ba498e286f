"""Properties of image references."""

from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.oci.reference import TRANSPORTS, Reference, parse

component = st.from_regex(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+){0,3}", fullmatch=True)
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(st.lists(component, min_size=1, max_size=4), tag)
def test_a_registry_reference_survives_being_printed(path: list[str], tag: str) -> None:
    value = parse(f"registry.example.org:5000/{'/'.join(path)}:{tag}")
    assert parse(str(value)) == value
    assert value.skopeo == f"docker://registry.example.org:5000/{'/'.join(path)}:{tag}"


@given(st.text(max_size=60) | st.builds("{}:{}".format, st.sampled_from(TRANSPORTS), st.text(max_size=40)))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        value = parse(text, "/base")
    except errors.InvalidReference:
        return
    assert isinstance(value, Reference)
    assert value.skopeo.isprintable()
    assert not value.skopeo.startswith("-")
    assert value.skopeo.partition(":")[0] in TRANSPORTS
    assert parse(str(value), "/elsewhere") == value
