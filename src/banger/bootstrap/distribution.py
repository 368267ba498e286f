"""The package tools of distributions: which one a guest has, and what is said to it.

A distribution is known by the ID of its os-release(5), or by the first name of its ID_LIKE that is known. What a guest
says of itself is only ever looked up here, never put into a command.
"""

import shlex
from collections.abc import Sequence
from typing import NamedTuple


class Tool(NamedTuple):
    """A package tool. ``install`` is followed by the packages' names; ``clean`` removes what it keeps for itself."""

    name: str
    ids: tuple[str, ...]
    """Of distributions, as os-release has them."""
    present: str
    """Succeeds in a shell where the package whose name is in ``$1`` is installed."""
    refresh: str
    install: str
    clean: str
    systemd: tuple[str, ...]
    """The packages that make a machine boot systemd; empty where the distribution has none."""
    ssh: tuple[str, ...]


# what dpkg would sync again and again is synced once, at the end: a build that fails leaves nothing anyway. A name that
# there is not would be an expression, of which all that matches is installed, were it not for Pattern-Only
_APT = (
    "-q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -o APT::Install-Recommends=false "
    "-o APT::Cmd::Pattern-Only=true"
)
_RPM = 'rpm -q --quiet --whatprovides "$1"'

TOOLS = (
    Tool(
        name="apt-get",
        ids=("debian", "ubuntu"),
        present="""case $(dpkg-query -W -f '${db:Status-Status} ' "$1") in installed*) ;; *) false ;; esac""",
        refresh="apt-get -q -o Acquire::Languages=none update",
        install=f"apt-get {_APT} install --",
        clean="apt-get clean; rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin",
        systemd=("systemd", "systemd-sysv", "dbus", "udev", "kmod"),
        ssh=("openssh-server",),
    ),
    Tool(
        name="apk",
        ids=("alpine",),
        present='apk info -q -e "$1"',
        refresh="",
        install="apk add --no-cache --no-progress",
        clean="rm -rf /var/cache/apk/*",
        systemd=(),
        ssh=("openssh-server",),
    ),
    Tool(
        name="dnf",
        ids=("fedora", "rhel", "centos"),
        present=_RPM,
        refresh="",
        install="dnf -q -y --setopt=install_weak_deps=False install --",
        clean="dnf -q clean all; rm -rf /var/cache/dnf /var/cache/libdnf5",
        systemd=("systemd", "systemd-udev", "dbus-broker"),
        ssh=("openssh-server",),
    ),
    Tool(
        name="pacman",
        ids=("arch",),
        present='pacman -T "$1"',
        refresh="pacman -Sy --noconfirm --noprogressbar",
        install="pacman -S --noconfirm --noprogressbar --needed --",
        clean="rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*",
        systemd=("systemd", "systemd-sysvcompat", "dbus"),
        ssh=("openssh",),
    ),
    Tool(
        name="zypper",
        ids=("opensuse", "suse", "sles", "opensuse-leap", "opensuse-tumbleweed"),
        present=_RPM,
        refresh="zypper --non-interactive --quiet refresh",
        install="zypper --non-interactive --quiet install --no-recommends --",
        clean="zypper --non-interactive --quiet clean --all",
        systemd=("systemd", "systemd-sysvinit", "udev", "dbus-1"),
        ssh=("openssh-server",),
    ),
)


def identities(os_release: str) -> list[str]:
    """The names that an os-release gives its distribution, the most telling first."""
    fields: dict[str, str] = {}
    for line in os_release.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name in ("ID", "ID_LIKE"):
            fields.setdefault(name, value.strip().strip("\"'").lower())
    return [*fields.get("ID", "").split(), *fields.get("ID_LIKE", "").split()]


def tool_of(os_release: str) -> Tool | None:
    """The tool of a distribution, or None when it is not known."""
    for identity in identities(os_release):
        for tool in TOOLS:
            if identity in tool.ids:
                return tool
    return None


def packages(tool: Tool, wanted: Sequence[str], systemd: bool, ssh: bool) -> list[str]:
    """All that is to be installed, each once."""
    every = [*(tool.systemd if systemd else ()), *(tool.ssh if ssh else ()), *wanted]
    return list(dict.fromkeys(every))


def install_command(tool: Tool, names: Sequence[str]) -> str:
    """The shell line that installs packages."""
    return _line(tool, shlex.join(names))


def install_script() -> str:
    """A shell program's beginning, for a guest of which nothing is known: what it has decides.

    It sets ``tool``, the name of the first tool that there is, or nothing, and the functions ``present NAME``, whether
    that package is installed, and ``add NAME...``, which installs packages.
    """
    lines, word, every = ["tool="], "if", '"$@"'
    for tool in TOOLS:
        lines += [
            f"{word} command -v {tool.name} >/dev/null 2>&1; then",
            f"    tool={tool.name}",
            f"    present() {{ {tool.present}; }} >/dev/null 2>&1",
            f"    add() {{ {_line(tool, every)}; }}",
        ]
        word = "elif"
    return "\n".join([*lines, "fi", ""])


def _line(tool: Tool, names: str) -> str:
    install = f"{tool.install} {names}"
    return f"{tool.refresh} && {install}" if tool.refresh else install
