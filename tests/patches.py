"""Patches as text, for tests of what reads them."""

from collections.abc import Iterable
from pathlib import Path

from banger.workspace.judging import Judge
from banger.workspace.patch import FileChange, Limits, parse
from banger.workspace.quoting import quoted

ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40


def name(prefix: str, path: bytes | str) -> bytes:
    path = path.encode() if isinstance(path, str) else path
    return quoted(prefix.encode() + path, ascii_only=True)


def tab(path: bytes | str) -> bytes:
    return b"\t" if (" " if isinstance(path, str) else b" ") in path else b""  # type: ignore[operator]


def added(path: bytes | str, text: str = "evil\n", mode: str = "100644") -> bytes:
    """A new file; a link where ``mode`` says so, to ``text``."""
    lines = text.splitlines(keepends=True)
    body = "".join(f"+{line}" for line in lines) + ("" if text.endswith("\n") else "\n\\ No newline at end of file\n")
    return (
        b"diff --git " + name("a/", path) + b" " + name("b/", path) + b"\n"
        b"new file mode " + mode.encode() + b"\nindex " + f"{ZERO}..{ONE}\n--- /dev/null\n+++ ".encode()
        + name("b/", path) + tab(path) + b"\n@@ -0,0 +1" + (f",{len(lines)}" if len(lines) != 1 else "").encode()
        + b" @@\n" + body.encode()
    )  # fmt: skip


def link(path: bytes | str, target: str) -> bytes:
    return added(path, target, "120000")


def modified(path: bytes | str, mode: str = "100644", line: str = "evil") -> bytes:
    return (
        b"diff --git " + name("a/", path) + b" " + name("b/", path) + f"\nindex {ONE}..{TWO} {mode}\n--- ".encode()
        + name("a/", path) + tab(path) + b"\n+++ " + name("b/", path) + tab(path)
        + f"\n@@ -1 +1 @@\n-good\n+{line}\n".encode()
    )  # fmt: skip


def deleted(path: bytes | str) -> bytes:
    return (
        b"diff --git " + name("a/", path) + b" " + name("b/", path)
        + f"\ndeleted file mode 100644\nindex {ONE}..{ZERO}\n--- ".encode() + name("a/", path) + tab(path)
        + b"\n+++ /dev/null\n@@ -1 +0,0 @@\n-good\n"
    )  # fmt: skip


def renamed(source: bytes | str, path: bytes | str) -> bytes:
    return (
        b"diff --git " + name("a/", source) + b" " + name("b/", path)
        + b"\nsimilarity index 100%\nrename from " + name("", source) + b"\nrename to " + name("", path) + b"\n"
    )  # fmt: skip


def read(patch: bytes | Iterable[bytes], limits: Limits | None = None) -> tuple[list[FileChange], Judge]:
    """All that is said of a patch. Raises `errors.UnsafePatch`."""
    judge, found = Judge(), []
    for change in parse([patch] if isinstance(patch, bytes) else patch, limits):
        judge.take(change)
        found.append(change)
    judge.close()
    return found, judge


def picture(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """Every file of a tree but for ``.git``: kind, whether it is executable, content."""
    found = {}
    for path in sorted(root.rglob("*")):
        below = path.relative_to(root)
        if below.parts[0] == ".git" or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            found[str(below)] = ("link", 0, str(path.readlink()).encode())
        else:
            found[str(below)] = ("file", path.stat().st_mode & 0o100, path.read_bytes())
    return found
