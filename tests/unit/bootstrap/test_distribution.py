"""Which package tool a distribution has, and what is said to it."""

import shlex

import pytest

from banger.bootstrap import distribution
from banger.bootstrap.distribution import TOOLS, tool_of

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


@pytest.mark.parametrize(
    ("os_release", "name"),
    [
        (DEBIAN, "apt-get"),
        ("ID=ubuntu\nID_LIKE=debian\n", "apt-get"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "apt-get"),
        ("ID=alpine\n", "apk"),
        ("ID=fedora\n", "dnf"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf"),
        ("ID=arch\n", "pacman"),
        ("ID=manjaro\nID_LIKE=arch\n", "pacman"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper"),
        ('ID="sles"\n', "zypper"),
        ("ID=void\n", None),
        ("ID_LIKE=debian\n", "apt-get"),
        ("ID=$(reboot)\n", None),
        ("NOT_ID=debian\nID =debian\n", None),
        ("", None),
        ("ID=void\nID=debian\n", None),
    ],
)
def test_a_distribution_is_known_by_its_id_or_what_it_is_like(os_release: str, name: str | None) -> None:
    tool = tool_of(os_release)
    assert (tool.name if tool else None) == name


def test_packages_of_an_init_and_an_ssh_server_come_first_and_once() -> None:
    apt, apk = TOOLS[0], TOOLS[1]
    assert distribution.packages(apt, ["git", "udev"], True, True)[:2] == ["systemd", "systemd-sysv"]
    found = distribution.packages(apt, ["git", "udev"], True, True)
    assert len(found) == len(set(found)) and found[-1] == "git" and "openssh-server" in found
    assert apk.systemd == () and distribution.packages(apk, ["git"], False, True) == ["openssh-server", "git"]
    assert distribution.packages(apt, ["git"], False, False) == ["git"]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_what_is_installed_is_never_an_option_nor_a_command(tool: distribution.Tool) -> None:
    words = shlex.split(distribution.install_command(tool, ["git", "a;reboot"]))
    assert words[-2:] == ["git", "a;reboot"] and tool.name in words
    assert "--" in words or tool.name == "apk"  # whose names cannot begin with a hyphen either: see `recipe.check`


def test_a_name_that_there_is_not_is_no_expression_for_apt() -> None:
    assert "-o APT::Cmd::Pattern-Only=true install --" in distribution.install_command(TOOLS[0], ["lib."])
