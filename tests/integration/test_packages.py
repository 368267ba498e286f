"""The shell program that installs a profile's packages, in real shells, with package managers that note their words."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger.bootstrap import guest
from banger.bootstrap.distribution import TOOLS

NOTING = """\
#!/bin/sh
said="${0##*/} $*"
for last; do :; done
case $said in
    "dpkg-query "*) case $last in have*) echo "installed ";; gone) echo "config-files ";; *) exit 1;; esac; exit;;
    "apk info "* | "rpm -q "* | "pacman -T "*) case $last in have*) exit 0;; *) exit 1;; esac;;
esac
echo "$said" >>"$NOTES"
case " $* " in *" nosuch "*) echo "E: Unable to locate package nosuch" >&2; exit 100;; esac
"""
QUESTIONS = {"apt-get": "dpkg-query", "dnf": "rpm", "zypper": "rpm"}
"""What is asked whether a package is there, where that is another program."""

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
NAMES = [tool.name for tool in TOOLS]
PAIRS = [(tool, shell) for tool in NAMES for shell in SHELLS if shell != "busybox" or QUESTIONS.get(tool) != "rpm"]
"""Busybox' shell would take its own rpm; distributions that have rpm have another shell."""


def install(
    directory: Path, names: Sequence[str], tools: Sequence[str], shell: str = "dash"
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The program's end where there are these package managers and nothing else, and what they were asked to do."""
    programs, notes = directory / "bin", directory / "notes"
    programs.mkdir(exist_ok=True)
    for name in {*tools, *(QUESTIONS[each] for each in tools if each in QUESTIONS)}:
        (programs / name).write_text(NOTING)
        (programs / name).chmod(0o755)
    (programs / "sync").symlink_to(str(shutil.which("true")))
    binary = str(shutil.which(SHELLS[shell][0]))
    done = subprocess.run(
        [binary, *SHELLS[shell][1:], *guest.packages_command(names)[1:]],
        env={"PATH": str(programs), "NOTES": str(notes)},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == "", "all that is said is on one stream, in order"
    return done, notes.read_text().splitlines() if notes.exists() else []


@pytest.mark.parametrize(("tool", "shell"), PAIRS)
def test_what_is_missing_is_installed_at_once(tool: str, shell: str, tmp_path: Path) -> None:
    done, asked = install(tmp_path, ["make", "have", "g++"], [tool], shell)
    assert (done.returncode, done.stdout) == (0, f"+ {tool}: make g++\nall packages are there\n")
    known = next(each for each in TOOLS if each.name == tool)
    assert asked[-1] == f"{known.install} make g++"
    assert asked[:-1] == ([known.refresh] if known.refresh else [])


@pytest.mark.parametrize("tool", NAMES)
def test_what_is_there_is_not_asked_for(tool: str, tmp_path: Path) -> None:
    done, asked = install(tmp_path, ["have", "have-more"], [tool])
    assert (done.returncode, done.stdout, asked) == (0, "all packages are there\n", [])


def test_what_was_removed_and_left_its_settings_is_missing(tmp_path: Path) -> None:
    assert install(tmp_path, ["gone"], ["apt-get"])[1][-1].endswith(" -- gone")


@pytest.mark.parametrize(("tool", "shell"), PAIRS)
def test_one_that_there_is_not_fails_all(tool: str, shell: str, tmp_path: Path) -> None:
    done, _ = install(tmp_path, ["make", "nosuch"], [tool], shell)
    assert (done.returncode, done.stdout) == (1, f"+ {tool}: make nosuch\nE: Unable to locate package nosuch\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_where_there_is_no_package_manager_that_is_the_status(shell: str, tmp_path: Path) -> None:
    done, _ = install(tmp_path, ["make"], [], shell)
    assert (done.returncode, done.stdout) == (guest.NO_TOOL, "")


def test_of_several_the_first_is_the_distribution_s_own(tmp_path: Path) -> None:
    """Debian has dnf and apk among its packages."""
    done, _ = install(tmp_path, ["make"], ["dnf", "apk", "apt-get"])
    assert done.stdout.startswith("+ apt-get: make\n")


def test_two_hundred_are_one_request(tmp_path: Path) -> None:
    names = [f"lib{number}-dev" for number in range(200)]
    done, asked = install(tmp_path, names, ["apt-get"])
    assert done.returncode == 0 and len(asked) == 2
    assert asked[1].split(" -- ")[1].split() == names


def test_names_are_words_whatever_they_hold(tmp_path: Path) -> None:
    names = ["$(touch evil)", "`touch evil`", "; touch evil", "a b", "*"]
    done, asked = install(tmp_path, names, ["apt-get"])
    assert done.returncode == 0 and asked[-1].endswith(" ".join(["--", *names]))
    assert not (tmp_path / "evil").exists()
