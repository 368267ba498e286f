"""A user's configuration, whatever it holds, survives what `banger ssh-config` does to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger import errors
from banger.ssh import fence

PIECES = st.sampled_from([
    b"Host *", b"  User me", b"Match exec true", b"Include other", b"\n", b"\r\n", b"\r", b"\t", b"\0", b"\xff\xfe",
    b"#", b"# BEGIN banger", b"# END banger", b" banger", b"# BEGIN", b"=", b'"',
])  # fmt: skip
FILES = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(b"".join))
LINES = st.sampled_from(["Include x", 'Include "/with a blank"'])


@given(FILES, LINES, LINES)
def test_every_other_byte_stays(old: bytes, line: str, other: str) -> None:
    try:
        bare = fence.uninstall(old)
    except errors.UsageError:
        with pytest.raises(errors.UsageError):
            fence.install(old, line)
        return
    new = fence.install(old, line)
    assert fence.install(new, line) == new
    assert fence.uninstall(new) == bare == fence.uninstall(fence.install(new, other))
    found = fence.find(new)
    assert found is not None and line.encode() in new[found.start : found.end]
    assert new[: found.start] + new[found.end :] == bare
