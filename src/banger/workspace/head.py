"""Which commit a repository of this host is at, by reading the few small files that say so.

No program is started: ``vm exec`` asks at every command, and it must cost nothing. Where the answer would take more
than that (another format of references, a name that only git can work out), there is none.
"""

import os

LIMIT = 4096
PACKED_LIMIT = 64 << 20
DEPTH = 5
"""References to references, as git follows them."""


def moved(source: str, commit: "str | None", start: "str | None" = None) -> "str | None":
    """The commit at which a repository is now, if that is known and another than ``commit``, which was imported.

    ``start`` is the name by which that was asked for; HEAD when there was none.
    """
    now = _named(source, start) if start is not None else resolve(source, "HEAD")
    return now if now != commit else None


def _named(source: str, name: str) -> "str | None":
    for prefix in ("refs/heads/", "refs/remotes/"):
        found = resolve(source, prefix + name)
        if found is not None:
            return found
    return None


def resolve(source: str, name: str) -> "str | None":
    """The id that HEAD or the full name of a reference stands for; None where that cannot be told."""
    own = _directory(os.path.join(source, ".git"))
    if own is None:
        return None
    shared = _read(os.path.join(own, "commondir"))
    common = os.path.join(own, shared) if shared else own  # a linked work tree has its own HEAD, and little else
    for _ in range(DEPTH):
        text = _read(os.path.join(own if name == "HEAD" else common, name)) or _packed(common, name)
        if text is None or _is_id(text):
            return text
        name = text.removeprefix("ref: ")
        if name == text or not name.startswith("refs/") or ".." in name:
            return None
    return None


def _directory(path: str) -> "str | None":
    if os.path.isdir(path):
        return path
    text = _read(path)
    if text is None or not text.startswith("gitdir: "):
        return None
    return os.path.join(os.path.dirname(path), text.removeprefix("gitdir: "))


def _packed(common: str, name: str) -> "str | None":
    text = _read(os.path.join(common, "packed-refs"), PACKED_LIMIT)
    before, found, _ = f"\n{text}\n".partition(f" {name}\n") if text else ("", "", "")
    word = before.rpartition("\n")[2]
    return word if found and _is_id(word) else None


def _read(path: str, limit: int = LIMIT) -> "str | None":
    """A small file's text without the newline at its end. Never waits, as for a writer of a named pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        data = b""
        while len(data) <= limit and (piece := os.read(descriptor, limit + 1 - len(data))):
            data += piece
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data.decode("utf-8", "surrogateescape").rstrip("\n") if len(data) <= limit else None


def _is_id(text: str) -> bool:
    return len(text) in (40, 64) and not text.strip("0123456789abcdef")
