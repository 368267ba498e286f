"""Lines of ours in a file of the user's."""

import pytest

from banger import errors
from banger.ssh import fence

LINE = 'Include "/state/ssh/config"'
BLOCK = fence.BEGIN + b"\n" + LINE.encode() + b"\n" + fence.END + b"\n"


@pytest.mark.parametrize(
    "old",
    [
        b"",
        b"Host a\n  User b\n",
        b"Host a\r\n  User b\r\n",
        b"User b",
        b"\n\n# mine\n\nMatch host *.vm\n  User other\n",
        b"\xef\xbb\xbfHost \xff\n",
    ],
    ids=["empty", "plain", "CRLF", "no last end", "match", "no text"],
)
def test_it_comes_first_and_goes_without_a_trace(old: bytes) -> None:
    new = fence.install(old, LINE)
    assert new == BLOCK + old
    assert fence.install(new, LINE) == new
    assert fence.uninstall(new) == old


def test_where_it_is_in_force_it_stays() -> None:
    head, tail = b"# mine\n\nInclude other\n", b"Host *\n  User a\n"
    assert (
        fence.install(head + BLOCK + tail, "Include new") == head + BLOCK.replace(LINE.encode(), b"Include new") + tail
    )


@pytest.mark.parametrize("head", [b"Host *\n", b"match all\n", b"User somebody\n"])
def test_where_it_is_not_in_force_it_moves(head: bytes) -> None:
    assert fence.install(head + BLOCK + b"# end\n", LINE) == BLOCK + head + b"# end\n"


def test_marks_are_known_with_other_line_ends_and_words_behind() -> None:
    old = b"# BEGIN banger\r\nInclude x\r\n\t# END  banger\r\nHost a"
    assert fence.uninstall(old) == b"Host a"
    assert fence.uninstall(b"# BEGIN banger\n# END banger") == b""


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (b"Host a\n# BEGIN banger\nInclude x\n", "line 2: .* opened and not closed"),
        (b"Host a\n\n# END banger\n", "line 3: .* closed and not opened"),
        (b"# BEGIN banger\n# BEGIN banger\n# END banger\n", "line 2: .* opened twice"),
        (BLOCK + BLOCK, "line 4: .* opened twice"),
    ],
)
def test_what_is_not_certain_is_refused(old: bytes, said: str) -> None:
    with pytest.raises(errors.UsageError, match=said):
        fence.install(old, LINE)
    with pytest.raises(errors.UsageError, match=said):
        fence.uninstall(old)
