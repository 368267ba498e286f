"""The Debian kind: sources of the host, subordinate ids, names that are checked before anything starts."""

import asyncio
from pathlib import Path

import pytest

from banger import errors
from banger.oci import debian

DEB822 = """\
# comment
Types: deb
URIs: http://mirror.example.org/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://security.example.org/debian-security
Suites: bookworm-security
Components:
 main

Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main
Enabled: no
"""


def test_deb822_sources_become_lines() -> None:
    assert debian.deb822_lines(DEB822) == [
        "deb http://mirror.example.org/debian/ bookworm main contrib",
        "deb http://mirror.example.org/debian/ bookworm-updates main contrib",
        "deb http://security.example.org/debian-security bookworm-security main",
    ]


def test_the_hosts_mirrors_are_used_for_any_suite_on_a_debian_host() -> None:
    assert debian.sources("trixie", debian.deb822_lines(DEB822), "bookworm") == [
        "deb http://mirror.example.org/debian trixie main",
        "deb http://mirror.example.org/debian trixie-updates main",
        "deb http://security.example.org/debian-security trixie-security main",
    ]


def test_old_style_sources_are_understood() -> None:
    lines = ["deb [arch=amd64 signed-by=/k.gpg] http://m.example.org/debian bookworm main", "# deb http://x y z"]
    assert debian.sources("bookworm", lines, "bookworm")[0] == "deb http://m.example.org/debian bookworm main"


def test_other_hosts_get_debians_own_mirror() -> None:
    lines = ["deb http://archive.ubuntu.com/ubuntu noble main"]
    assert debian.sources("bookworm", lines, "")[0] == "deb http://deb.debian.org/debian bookworm main"
    assert debian.sources("sid", [], "bookworm") == ["deb http://deb.debian.org/debian sid main"]


@pytest.mark.parametrize(
    ("suite", "packages"),
    [("-x", []), ("book worm", []), ("", []), ("../x", []), ("bookworm", ["--foo"]), ("bookworm", ["a;b"]), ("b", [])],
)
def test_names_are_checked_before_anything_starts(suite: str, packages: list[str], tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError):
        asyncio.run(debian.build_rootfs_tar(suite, packages, str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_complaints_say_what_matters() -> None:
    said = b"I: running\nE: Unable to locate package foo\nE: run_chroot failed: x\nE: mmdebstrap failed to run\n"
    error = debian.complaint(said, "bookworm", "/tmp")
    assert isinstance(error, errors.BuildFailed)
    assert error.message == "building Debian bookworm failed: Unable to locate package foo"
    for full in (b"x: No space left on device", b"E: You don't have enough free space in /x/archives/."):
        assert isinstance(debian.complaint(full, "b", "/x"), errors.DiskFull)
