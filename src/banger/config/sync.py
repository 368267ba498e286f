"""``[[file_sync]]``: files of the host that machines are given on their work disks, as they are written in config.toml.

What is here is only whether an entry makes sense. What is at the host's path is looked at when a machine starts
(`banger.vms.given`).
"""

from typing import NamedTuple

from banger.config.values import Row, Wrong, rows

HOME = "/root"
DEFAULT_MODE = "0600"
ENTRY_LIMIT = 256


class FileSync(NamedTuple):
    """An entry. ``host`` is as it was written, ``guest`` absolute, ``mode`` octal digits."""

    host: str
    guest: str
    mode: str = DEFAULT_MODE


def _parts(value: object) -> tuple[str, list[str]]:
    """A path's beginning (empty where it is absolute, else ``~``), and the names in it."""
    if not isinstance(value, str) or not value.startswith(("/", "~/")) or "\0" in value or len(value) > 4000:
        raise ValueError
    first, *names = value.rstrip("/").split("/")
    if not names or any(each in ("", ".", "..") or len(each.encode("utf-8", "replace")) > 255 for each in names):
        raise ValueError
    return first, names


def _host(value: object) -> str:
    first, names = _parts(value)
    return "/".join((first, *names))


def _guest(value: object) -> str:
    first, names = _parts(value)
    if first == "~":
        names = ["root", *names]
    if names[0] != "root" or len(names) < 2:
        raise ValueError
    return "/" + "/".join(names)


def _mode(value: object) -> str:
    if not isinstance(value, str) or not 3 <= len(value) <= 4 or value.strip("01234567"):
        raise ValueError
    if int(value, 8) > 0o777:
        raise ValueError
    return value


FIELDS = (
    Row("host", "an absolute path or one below ~/, without ..", _host,
        "The file or directory on this host. Links in a directory stay links; none is followed.", "~/.vimrc"),
    Row("guest", "a path below ~/ or /root, without ..", _guest, "Where the machine has it.", "~/.vimrc"),
    Row("mode", 'a string of octal digits up to "0777"', _mode,
        "The file's mode. What is in a directory has the modes that it has on the host.", DEFAULT_MODE),
)  # fmt: skip


def parse(value: object) -> tuple[FileSync, ...]:
    """The entries. Raises `Wrong` with the number of the entry."""
    if not isinstance(value, list):
        raise Wrong((), "these are tables: write [[file_sync]]")
    if len(value) > ENTRY_LIMIT:
        raise Wrong((), f"{len(value)} entries are more than {ENTRY_LIMIT}")
    found: list[FileSync] = []
    for number, each in enumerate(value):
        given = rows(each, FIELDS, (number,))
        for name in ("host", "guest"):
            if name not in given:
                raise Wrong((number,), f"{name} is missing")
        entry = FileSync(**{name: str(item) for name, item in given.items()})
        if any(entry.guest == other.guest for other in found):
            raise Wrong((number, "guest"), f"{entry.guest} is given twice")
        found.append(entry)
    return tuple(found)
