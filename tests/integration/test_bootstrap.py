"""The shell program that installs a repository's tools, in real shells, with a mise that notes what it is asked."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from banger.bootstrap import guest
from banger.bootstrap.plan import build

NOTING = """\
#!/bin/sh
echo "$PWD: $*" >>"$NOTES"
echo "mise says: $*"
case "$*" in *"$REFUSED"*) echo "no such version" >&2; exit 1;; esac
"""
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
FILES = {"mise.toml": b'[tools]\nbun = "1"\n', "go.mod": b"go 1.22\n", ".nvmrc": b"20.11.1\n"}


def carry_out(
    shell: str, directory: Path, files: dict[str, bytes], *, mise: bool = True, refused: str = "no such word"
) -> tuple[subprocess.CompletedProcess[str], list[str], Path]:
    """The program's end, what mise was asked for and where, and the log."""
    tools, repository, log = directory / "bin", directory / "a repository", directory / "cache" / "deep" / "a b.log"
    tools.mkdir()
    repository.mkdir()
    notes = directory / "notes"
    if mise:
        (tools / "mise").write_text(NOTING)
        (tools / "mise").chmod(0o755)
    _, _, script, name, _, _, *rest = guest.command(build(dict(files)), str(repository), "x")
    done = subprocess.run(
        [*SHELLS[shell], "-c", script, name, str(repository), str(log), *rest],
        env={"PATH": f"{tools}:{os.environ['PATH']}", "NOTES": str(notes), "REFUSED": refused, "HOME": str(directory)},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    asked = notes.read_text().splitlines() if notes.exists() else []
    prefix = f"{repository}: "
    assert all(each.startswith(prefix) for each in asked)
    return done, [each.removeprefix(prefix) for each in asked], log


@pytest.mark.parametrize("shell", SHELLS)
def test_it_does_what_is_planned_and_says_so_twice(shell: str, tmp_path: Path) -> None:
    done, asked, log = carry_out(shell, tmp_path, FILES)
    assert done.returncode == 0, done.stderr
    trusted = f"trust {tmp_path / 'a repository'}"
    assert asked == [trusted, "install", "use --global go@1.22", "use --global node@20.11.1"]
    assert log.read_text() == done.stdout
    assert done.stdout.splitlines() == [
        f"mise says: {trusted}", "+ mise install", "mise says: install", "+ mise use --global go@1.22",
        "mise says: use --global go@1.22", "+ mise use --global node@20.11.1", "mise says: use --global node@20.11.1",
        "all tools are there",
    ]  # fmt: skip
    assert log.stat().st_mode & 0o077 == 0
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_what_fails_is_told_and_the_next_is_tried(shell: str, tmp_path: Path) -> None:
    done, asked, log = carry_out(shell, tmp_path, FILES, refused="go@")
    assert done.returncode == 1
    assert asked[-1] == "use --global node@20.11.1"
    assert log.read_text() == done.stdout
    assert "no such version\n" in done.stdout
    assert done.stdout.endswith("not all tools are there\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_without_files_of_mise_only_the_pins_are_installed(shell: str, tmp_path: Path) -> None:
    _, asked, _ = carry_out(shell, tmp_path, {".python-version": b"3.12\n"})
    assert asked[1:] == ["use --global python@3.12"]


@pytest.mark.parametrize("shell", SHELLS)
def test_where_there_is_no_mise_that_is_the_status(shell: str, tmp_path: Path) -> None:
    done, asked, log = carry_out(shell, tmp_path, FILES, mise=False)
    assert (done.returncode, done.stdout, asked) == (guest.NO_TOOL, "", [])
    assert not log.exists()


def test_names_are_words_whatever_they_hold(tmp_path: Path) -> None:
    place = tmp_path / "$(touch evil) `touch evil`; touch evil"
    place.mkdir()
    done, asked, _ = carry_out("dash", place, FILES)
    assert done.returncode == 0
    assert len(asked) == 4
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("evil")], shlex.quote(str(place))
