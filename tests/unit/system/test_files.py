"""Files of the system, made step by step, and taken back."""

import contextlib
import stat
from pathlib import Path

import pytest

from banger import errors
from banger.system.files import Files


def shape(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Everything below a directory: mode, and content or target."""
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.lstat().st_mode),
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(root.rglob("*"))
    }


def fill(place: str) -> None:
    (Path(place) / "file").write_text("new")


def steps(made: Files) -> None:
    made.directory("/lib/new/deep", 0o711)
    made.directory("/lib/old", 0o700)
    made.file("/etc/kept.conf", b"new\n")
    made.file("/etc/new.conf", b"new\n", 0o600)
    assert made.link("/bin/it", "/lib/new/it")
    assert not made.link("/bin/theirs", "/lib/new/it")
    made.tree("/lib/tree", fill)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("etc", "bin", "lib/old", "lib/tree"):
        (tmp_path / name).mkdir(parents=True, mode=0o755)
    (tmp_path / "etc/kept.conf").write_text("old\n")
    (tmp_path / "etc/kept.conf").chmod(0o640)
    (tmp_path / "bin/theirs").write_text("#!/bin/sh\n")
    (tmp_path / "lib/tree/file").write_text("old")
    return tmp_path


def test_all_steps_are_done_and_may_be_repeated(root: Path) -> None:
    for _ in range(2):
        with contextlib.ExitStack() as undo:
            steps(Files(str(root), undo))
            undo.pop_all()
    found = shape(root)
    assert found["lib/new/deep"][0] == 0o711
    assert found["lib/old"][0] == 0o700
    assert found["etc/kept.conf"] == (0o644, b"new\n")
    assert found["etc/new.conf"] == (0o600, b"new\n")
    assert found["bin/it"][1] == "/lib/new/it"
    assert found["bin/theirs"][1] == b"#!/bin/sh\n"
    assert found["lib/tree/file"][1] == b"new"


def test_what_fails_leaves_everything_as_it_was(root: Path) -> None:
    before = shape(root)
    with (
        pytest.raises(errors.InstallRefused, match=r"etc cannot be replaced: Is a directory"),
        contextlib.ExitStack() as undo,
    ):
        made = Files(str(root), undo)
        steps(made)
        made.file("/etc", b"in the way")
    assert shape(root) == before


def test_links_are_not_followed_and_not_replaced(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "lib/link").symlink_to(root / "elsewhere")
    (root / "etc/link").symlink_to(root / "etc/kept.conf")
    with contextlib.ExitStack() as undo:
        made = Files(str(root), undo)
        with pytest.raises(errors.InstallRefused, match="not a directory"):
            made.directory("/lib/link", 0o700)
        with pytest.raises(errors.InstallRefused, match="cannot be replaced"):
            made.file("/etc/link", b"x")
    assert (root / "etc/kept.conf").read_text() == "old\n"
