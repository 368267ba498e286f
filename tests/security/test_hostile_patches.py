"""Patches that a guest could send to harm the host on which they are applied."""

import base64
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from banger import errors
from banger.workspace.patch import Limits
from tests.patches import ONE, TWO, ZERO, added, deleted, link, modified, read, renamed


def refused(patch: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(errors.UnsafePatch) as caught:
        read(patch, limits)
    assert caught.value.message.isprintable()
    return caught.value.message


OUTSIDE = [
    "../evil",
    "a/../../evil",
    "..",
    "/etc/passwd",
    "//etc/passwd",
    "a//b",
    "./a",
    "a/./b",
    "a/",
    "a\\..\\..\\evil",
]
GITS = [
    ".git/config", ".git/hooks/post-checkout", "sub/.git/config", ".GIT/config", ".gIt/hooks/x", ".git", "a/.Git",
    ".git /config", ".git./config", ".git. ./config", "git~1/config", "GIT~1/config", "sub/git~1", "git~2/config",
    ".git\\config", "a\\.git\\config", ".git::$INDEX_ALLOCATION/config", ".git:x", ".g\u200cit/config",
    "\ufeff.git/config", ".git\u206f/config",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("make", [added, modified, deleted])
def test_name_that_leaves_the_tree(path: str, make: object) -> None:
    assert callable(make)
    refused(added("good") + make(path))


@pytest.mark.parametrize("path", [*OUTSIDE, *GITS])
def test_rename_out_of_the_tree_or_into_it(path: str) -> None:
    refused(renamed("good", path))
    refused(renamed(path, "good"))


@pytest.mark.parametrize("path", GITS)
def test_name_in_gits_own_directory_in_any_spelling(path: str) -> None:
    assert "git's own directory" in refused(added(path))


@pytest.mark.parametrize("path", [".gitignore", ".github/x", "a.git/config", "x.git", ".gitx/config", "git/config"])
def test_name_that_only_looks_like_it_is_taken(path: str) -> None:
    read(added(path))


def test_name_with_a_nul() -> None:
    refused(added(b"a\0b"))


@pytest.mark.parametrize("path", [b"x" * 256, b"d/" * 2050 + b"x"])
def test_name_that_no_file_system_has(path: bytes) -> None:
    refused(added(path))


def test_one_name_where_it_begins_and_another_before_its_content() -> None:
    patch = added("good")
    assert "contradict" in refused(patch.replace(b"+++ b/good", b"+++ b/.envrc"))
    assert "contradict" in refused(patch.replace(b"--- /dev/null", b"--- a/good"))
    assert "contradict" in refused(patch.replace(b"b/good\nnew", b"b/evil\nnew"))
    assert "contradict" in refused(modified("good").replace(b"--- a/good", b"--- a/evil"))
    assert "contradict" in refused(modified("good").replace(b"+++ b/good", b"+++ /dev/null"))


def test_one_name_where_it_begins_and_another_in_the_rename() -> None:
    assert "contradict" in refused(renamed("old", "new").replace(b"rename to new", b"rename to .envrc"))
    assert "contradict" in refused(renamed("old", "new").replace(b"rename from old", b"rename from other"))


def test_name_that_divides_in_two_places() -> None:
    """``a/x b/y b/x b/y`` is one file ``x b/y``, or a rename of ``x`` for who reads it otherwise."""
    found, _ = read(added("x b/y"))
    assert [each.path for each in found] == [b"x b/y"]
    refused(b"diff --git a/x b/x b/y\nold mode 100644\nnew mode 100755\n")


@pytest.mark.parametrize(
    "line",
    [b'"a/go\\157d" "b/go\\157d"', b'"a/good" "b/good"', b'"a/good" b/good', b'"a/good b/good', b"c/good d/good"],
)
def test_name_in_another_spelling_than_gits(line: bytes) -> None:
    refused(b"diff --git " + line + b"\nold mode 100644\nnew mode 100755\n")


def test_traditional_patch_between_gits() -> None:
    """``git apply`` and ``patch`` look for these too."""
    evil = b"--- a/evil\n+++ b/evil\n@@ -0,0 +1 @@\n+evil\n"
    for patch in (evil, added("good") + evil, evil + added("good"), b"a letter\n" + added("good")):
        refused(patch)


def test_patch_within_a_hunk_is_text() -> None:
    found, _ = read(added("good", "diff --git a/.envrc b/.envrc\n--- /dev/null\n+++ b/.envrc\n@@ -0,0 +1 @@\n+x\n"))
    assert [each.path for each in found] == [b"good"]


def test_hunk_that_announces_fewer_lines() -> None:
    refused(added("good").replace(b"+1 @@", b"+1,2 @@") + added("other"))
    refused(added("good", "1\n2\n3\n").replace(b"+1,3 @@", b"+1,2 @@"))
    refused(modified("good").replace(b"@@ -1 +1 @@", b"@@ -1 +1,9999999999 @@"))
    refused(modified("good").replace(b"@@ -1 +1 @@", b"@@ -0,0 +0,0 @@"))


def test_binary_part_that_is_none() -> None:
    head = f"diff --git a/x b/x\nindex {ONE}..{TWO} 100644\n".encode()
    refused(head + b"Binary files a/x and b/x differ\n")
    good = b"literal 5\nMcmZQzO3KUw00MIXJOBUy\n\n"
    read(head + b"GIT binary patch\n" + good + good)
    refused(head + b"GIT binary patch\n" + good)
    for evil in (b"literal 5\nMcmZQzO3KUw00MIXJOBUyz\n\n", b"literal 5\n", b"text\n", b"literal -1\n\n"):
        refused(head + b"GIT binary patch\n" + evil + good)


def test_patch_cut_anywhere() -> None:
    """What is left is refused, unless it ends between two files; that all came is told by the command's end."""
    parts = (added("a"), modified("b c"), deleted("d"), renamed("e", "f"), added("g", "end"))
    patch = b"".join(parts)
    whole = {sum(map(len, parts[:count])) for count in range(len(parts) + 1)} | {patch.index(b"\\ No newline")}
    for length in range(len(patch) + 1):
        if length in whole:
            read(patch[:length])
        else:
            refused(patch[:length])


@pytest.mark.parametrize("mode", ["100777", "104755", "040000", "060000", "020000", "100664", "777", "0100644"])
def test_mode_that_git_has_not(mode: str) -> None:
    refused(added("x", mode=mode))
    refused(modified("x", mode=mode))
    refused(f"diff --git a/x b/x\nold mode 100644\nnew mode {mode}\n".encode())


def test_file_that_becomes_a_link_by_its_mode() -> None:
    refused(b"diff --git a/x b/x\nold mode 100644\nnew mode 120000\n")


def test_submodule() -> None:
    text = f"Subproject commit {ONE}"
    assert "submodule" in refused(added("vendor/x", text, "160000"))
    assert "submodule" in refused(modified("vendor/x", "160000", text))
    assert "submodule" in refused(
        f"diff --git a/x b/x\ndeleted file mode 160000\nindex {ONE}..{ZERO}\n--- a/x\n+++ /dev/null\n"
        f"@@ -1 +0,0 @@\n-{text}\n".encode()
    )


def test_file_behind_a_link_of_the_same_patch() -> None:
    assert "behind a link" in refused(link("etc", "/etc") + added("etc/passwd"))
    assert "behind a link" in refused(added("etc/passwd") + link("etc", "/etc"))
    assert "behind a link" in refused(link("a/b", "/etc") + modified("a/b/c/d"))
    assert "behind a link" in refused(link("a", "/") + renamed("good", "a/etc/passwd"))


def test_directory_that_becomes_a_link_is_taken() -> None:
    read(link("a", "b") + deleted("a/x"))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("l", "/etc/passwd"), ("l", "../x"), ("a/l", "../../x"), ("l", "a/../../x"), ("a/b/l", "../../../x"),
        ("l", "a/../b"), ("l", ".."), ("l", "./../x"),
    ],
)  # fmt: skip
def test_link_that_leaves_the_tree_is_shown(path: str, target: str) -> None:
    _, judge = read(link(path, target))
    assert [each.path for each in judge.cautions] == [path.encode()]
    assert target in judge.cautions[0].reason


@pytest.mark.parametrize(("path", "target"), [("l", "x"), ("a/l", "../x"), ("a/b/l", "../../c/x"), ("l", "./a/b")])
def test_link_that_stays_in_the_tree_is_not(path: str, target: str) -> None:
    assert read(link(path, target))[1].cautions == []


@pytest.mark.parametrize(
    ("path", "target"),
    [("l", ".git"), ("l", ".git/hooks"), ("a/l", "../.GIT/config"), ("l", "./git~1/x"), ("l", "/home/u/p/.git/hooks")],
)
def test_link_into_gits_own_directory(path: str, target: str) -> None:
    assert "git's own directory" in refused(link(path, target))


@pytest.mark.parametrize("path", [".gitmodules", ".gitattributes", "a/.gitignore", ".GitModules", ".mailmap "])
def test_link_in_the_place_of_a_file_that_git_reads(path: str) -> None:
    assert "follows no link" in refused(link(path, "x"))


def test_link_whose_target_is_no_path() -> None:
    refused(link("l", "x" * 5000))
    refused(link("l", "a\0b"))
    refused(
        f"diff --git a/l b/l\nnew file mode 120000\nindex {ZERO}..{ONE}\n".encode()
        + b"GIT binary patch\nliteral 5\nMcmZQzO3KUw00MIXJOBUy\n\nliteral 0\nHcmV?d00001\n\n"
    )
    refused(f"diff --git a/l b/l\nnew file mode 120000\nindex {ZERO}..{ONE}\n".encode())


def test_file_that_is_changed_twice() -> None:
    for second in (added, modified):
        assert "twice" in refused(added("x") + second("x"))
    assert "twice" in refused(deleted("x") + deleted("x"))
    assert "twice" in refused(renamed("a", "x") + added("x"))
    read(deleted("x") + link("x", "y"))  # this is how git says that a file has become a link


@pytest.mark.parametrize(
    "path",
    [
        ".envrc", "sub/.envrc", ".ENVRC", ".husky/pre-commit", ".githooks/post-merge", ".vscode/tasks.json",
        ".vscode/settings.json", ".idea/runConfigurations/x.xml", ".devcontainer/devcontainer.json", ".gitattributes",
        ".gitmodules", "mise.toml", ".tool-versions", ".github/workflows/ci.yml", "a/.Claude/settings.json",
    ],
)  # fmt: skip
def test_file_that_would_run_unasked_is_shown(path: str) -> None:
    for patch in (added(path), modified(path), renamed("good", path)):
        _, judge = read(patch)
        assert [each.path for each in judge.cautions] == [path.encode()]
    assert read(deleted(path))[1].cautions == []


@pytest.mark.parametrize("path", ["envrc", "x.envrc", "vscode/tasks.json", "Makefile", "a/mise.toml.md", "b.vscode/x"])
def test_file_of_another_name_is_not(path: str) -> None:
    assert read(added(path))[1].cautions == []


def test_patch_larger_than_its_limit() -> None:
    assert "longer than 1000 bytes" in refused(added("x", "y\n" * 1000), Limits(size=1000))


def test_more_files_than_the_limit() -> None:
    patch = b"".join(added(f"f{number}") for number in range(11))
    assert "more than 10 files" in refused(patch, Limits(files=10))
    assert "too long" in refused(patch, Limits(names=20))


def test_line_without_end_in_the_head() -> None:
    def endless() -> Iterator[bytes]:
        yield b"diff --git a/"
        while True:
            yield b"x" * 65536

    with pytest.raises(errors.UnsafePatch, match="line is too long"):
        read(endless())


def test_line_without_end_in_the_content_takes_no_memory() -> None:
    def endless() -> Iterator[bytes]:
        yield added("good").partition(b"evil")[0]
        for _ in range(2000):
            yield b"x" * 65536

    tracemalloc.start()
    try:
        with pytest.raises(errors.UnsafePatch, match="within a line"):
            read(endless())
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_line_without_end_in_a_binary_part() -> None:
    head = f"diff --git a/x b/x\nindex {ONE}..{TWO} 100644\nGIT binary patch\nliteral 5\n".encode()
    refused(head + b"z" * (1 << 20))


def _binary(kind: str, size: int, data: bytes) -> bytes:
    deflated = zlib.compress(data)
    lines = []
    for start in range(0, len(deflated), 52):
        piece = deflated[start : start + 52]
        code = bytes((len(piece) + (0x40 if len(piece) < 27 else 0x46),))
        lines.append(code + base64.b85encode(piece, pad=True) + b"\n")
    return f"{kind} {size}\n".encode() + b"".join(lines) + b"\n"


HEAD = f"diff --git a/x b/x\nindex {ONE}..{TWO} 100644\nGIT binary patch\n".encode()


def test_binary_part_that_unfolds_to_more_than_memory() -> None:
    small = _binary("literal", 5, b"abcde")
    assert "unfolds" in refused(HEAD + _binary("literal", 1 << 31, b"x") + small)
    assert "unfolds" in refused(HEAD + small + _binary("literal", 1 << 31, b"x"))


def test_delta_that_makes_more_than_memory() -> None:
    """A delta of a few bytes may copy a piece of its source a thousand times."""
    small = _binary("literal", 5, b"abcde")
    delta = b"\x05" + b"\xff\xff\xff\xff\x0f" + b"\x90\x05" * 10
    assert "unfolds" in refused(HEAD + _binary("delta", len(delta), delta) + small)
    honest = b"\x05\x05\x90\x05"
    read(HEAD + _binary("delta", len(honest), honest) + small)


def test_delta_without_a_size() -> None:
    small = _binary("literal", 5, b"abcde")
    for data in (b"", b"\x05", b"\xff" * 30):
        assert "damaged" in refused(HEAD + _binary("delta", 20, data) + small)
    assert "damaged" in refused(HEAD + b"delta 20\nE" + b"0" * 5 + b"\n\n" + small)


def test_names_are_made_printable() -> None:
    assert "\\x1b]0;owned\\x07" in refused(added("../\x1b]0;owned\x07"))
