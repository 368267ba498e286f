"""Lines of ours in a file of the user's: between two marks, put in and taken out, and every other byte stays.

ssh takes the first value that it finds, and what stands below a ``Host`` or ``Match`` line holds for that alone. So the
lines go to the very beginning; where they are found, they stay if nothing but comments and other inclusions is before.
Pure: bytes in, bytes out. Line ends may be of either kind, and the last line may lack its own.
"""

from typing import NamedTuple

from banger import errors

BEGIN = b"# BEGIN banger (banger ssh-config --uninstall takes this out)"
END = b"# END banger"
_BEGIN_WORDS, _END_WORDS = (b"#", b"BEGIN", b"banger"), (b"#", b"END", b"banger")


class Found(NamedTuple):
    """Where the marked lines begin and end, in bytes."""

    start: int
    end: int


def install(old: bytes, line: str) -> bytes:
    """The file with ``line`` between marks, once. Raises `errors.UsageError` where marks do not come in a pair."""
    block = b"\n".join((BEGIN, line.encode(), END, b""))
    found = find(old)
    if found is not None and _harmless(old[: found.start]):
        return old[: found.start] + block + old[found.end :]
    return block + uninstall(old)


def uninstall(old: bytes) -> bytes:
    """The file without marked lines. Raises `errors.UsageError`."""
    found = find(old)
    return old if found is None else old[: found.start] + old[found.end :]


def find(data: bytes) -> Found | None:
    """The marked lines, with the marks. Raises `errors.UsageError`."""
    opened, found, at = None, None, 0
    for number, text in enumerate(data.split(b"\n"), 1):
        line = data[at : at + len(text) + 1]  # with its end, where it has one
        words = tuple(text.split()[:3])
        if words == _BEGIN_WORDS:
            if opened is not None or found is not None:
                raise _unclear(number, "opened twice")
            opened = at
        elif words == _END_WORDS:
            if opened is None:
                raise _unclear(number, "closed and not opened")
            found = Found(opened, at + len(line))
            opened = None
        at += len(line)
    if opened is not None:
        raise _unclear(data[:opened].count(b"\n") + 1, "opened and not closed")
    return found


def _harmless(before: bytes) -> bool:
    """Whether what stands there leaves the lines after it in force."""
    lines = filter(None, (line.strip() for line in before.split(b"\n")))
    return all(line.startswith(b"#") or line.split()[0].lower() == b"include" for line in lines)


def _unclear(number: int, how: str) -> errors.UsageError:
    error = errors.UsageError(detail=f"line {number}: the part that banger marks as its own is {how}")
    error.advise("nothing was changed: mend or remove the lines '# BEGIN banger' and '# END banger'")
    return error
