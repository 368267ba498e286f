"""Whatever a guest sends: its patch is read as what it is, or refused in one way."""

from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from banger import errors
from banger.workspace.patch import FileChange, parse
from banger.workspace.quoting import quoted, split, unquoted
from tests.patches import added, deleted, link, modified, read, renamed

NAMES = st.binary(min_size=1, max_size=40)
PARTS = st.binary(min_size=1, max_size=12).filter(lambda part: b"/" not in part and b"\0" not in part)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)
ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters=ENDS), min_size=1)
SECTIONS = st.one_of(
    st.builds(added, PATHS, TEXTS),
    st.builds(link, PATHS, st.text("abc/.", min_size=1)),
    st.builds(modified, PATHS, st.sampled_from(["100644", "100755"])),
    st.builds(deleted, PATHS),
    st.builds(renamed, PATHS, PATHS),
)
PATCHES = st.lists(SECTIONS, max_size=5).map(b"".join)
FRAGMENTS = [
    b"diff --git a/x b/x\n", b"--- a/x\n", b"+++ b/x\n", b"@@ -1 +1 @@\n", b"@@ -0,0 +1,3 @@\n", b"index 1111..2222\n",
    b"new file mode 100644\n", b"old mode 100644\n", b"new mode 100755\n", b"deleted file mode 120000\n",
    b"rename from x\n",     b"similarity index 90%\n", b"GIT binary patch\n",
    b"literal 5\n", b"delta 7\n", b"McmZQzO3KUw00MIXJOBUy\n", b"\n",
    b"\\ No newline at end of file\n", b"+x\n", b"-x\n", b" x\n", b"/dev/null", b'"', b"\\", b"\0", b"\xff", b"\t",
]  # fmt: skip


def outcome(chunks: bytes | Iterator[bytes]) -> list[FileChange] | str:
    try:
        return read(chunks)[0]
    except errors.UnsafePatch as refused:
        assert refused.message.isprintable()
        return refused.message


@given(NAMES)
def test_a_name_is_the_same_after_it_was_quoted(name: bytes) -> None:
    for ascii_only in (True, False):
        word = quoted(name, ascii_only=ascii_only)
        assert unquoted(word) == name
        assert word.isascii() or not ascii_only
        if word.startswith(b'"'):
            assert split(word + b" more") == (name, b" more")


@given(PATCHES)
def test_a_patch_is_read_as_it_was_written(patch: bytes) -> None:
    changes = list(parse([patch]))
    assert patch.count(b"\nsimilarity index") == sum(each.status == "R" for each in changes)


@given(st.lists(PATHS, unique=True, max_size=5))
def test_names_are_what_they_were(paths: list[bytes]) -> None:
    assert [each.path for each in parse([b"".join(map(added, paths))])] == paths


@given(PATCHES, st.integers(1, 50))
def test_it_does_not_matter_where_pieces_end(patch: bytes, size: int) -> None:
    pieces = (patch[start : start + size] for start in range(0, len(patch), size))
    assert outcome(pieces) == outcome(patch)


@given(PATCHES, st.data())
def test_what_was_tampered_with_is_read_or_refused(patch: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(patch)))
        end = data.draw(st.integers(start, min(len(patch), start + 30)))
        patch = patch[:start] + data.draw(st.sampled_from([b"", *FRAGMENTS]) | st.binary(max_size=5)) + patch[end:]
    outcome(patch)


@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=30).map(b"".join))
@example(b"diff --git a/ b/\n")
@example(b'diff --git "a/x" \n')
@example(b"diff --git \n")
@example(b"diff --git a/x b/x\nsimilarity index 1%\nrename from \nrename to \n")
def test_anything_is_read_or_refused(patch: bytes) -> None:
    outcome(patch)


@given(PATCHES)
def test_what_is_shown_is_what_was_sent(patch: bytes) -> None:
    """Line by line, but for what is binary."""
    shown: list[bytes] = []
    list(parse([patch], show=lambda _, line: shown.append(line)))
    assert b"".join(shown) == patch
