"""The shell texts of a build. What comes from a recipe is quoted here, or travels in a file or argument of its own.

All of them are run by ``sh -e`` as root inside the image, never on this host, and use nothing but POSIX utilities.
"""

import shlex
from collections.abc import Mapping, Sequence

from banger.api.recipe import BuiltFile
from banger.builds import payload
from banger.oci import debian, probe

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
}
"""Of every command; the image's own variables come on top of it."""

PLACE = "/run/banger-build"
"""Where a build keeps what it needs inside an image of a suite: a directory that no image has content in."""

OS_RELEASE = "cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release"

HOLD_SERVICES = """\
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    : >/run/banger-policy
fi
"""
"""Keeps Debian's maintainer scripts from starting services; `CLEAN` takes it away."""

MASK_UNITS = "\n".join(
    ("mkdir -p /etc/systemd/system", *(f"ln -sf /dev/null /etc/systemd/system/{unit}" for unit in debian.MASKED))
)

SSH_SERVER = f"""\
if [ -e /lib/systemd/system/ssh.service ] || [ -e /usr/lib/systemd/system/ssh.service ]; then
    mkdir -p /etc/systemd/system/ssh.service.d
    printf '%s' {shlex.quote(debian.HOST_KEYS)} >/etc/systemd/system/ssh.service.d/host-keys.conf
    unit=ssh.service
else
    unit=sshd.service
fi
if command -v systemctl >/dev/null; then systemctl enable "$unit"; fi
"""
"""The server starts with the machine, and each machine makes its own host keys (other distributions see to that)."""

CLEAN = """\
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /var/lib/systemd/random-seed /var/lib/dbus/machine-id /etc/resolv.conf
if [ -e /etc/machine-id ] || [ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ]; then : >/etc/machine-id; fi
echo localhost >/etc/hostname
printf '127.0.0.1 localhost\\n::1 localhost ip6-localhost ip6-loopback\\n' >/etc/hosts
rm -rf /var/log/journal/*
for log in /var/log/*.log /var/log/*/*.log /var/log/btmp /var/log/wtmp /var/log/lastlog; do
    if [ -f "$log" ] && [ ! -L "$log" ]; then : >"$log"; fi
done
if [ -e /run/banger-policy ]; then rm -f /usr/sbin/policy-rc.d /run/banger-policy; fi
"""
"""What is one machine's own, and what the build has left. Each machine is given its names when it starts."""

INIT = f"""\
for path in {" ".join(probe.INIT_PATHS)}; do
    if [ -f "$path" ] && [ -x "$path" ]; then
        real=$(readlink -f "$path")
        case "${{real##*/}}" in {"|".join(each.decode() for each in probe.NO_INITS)}) ;; *) echo "$path"; exit 0 ;; esac
    fi
done
"""
"""Says where the init is, by the rules of `banger.oci.probe`."""


def owners(files: Sequence[BuiltFile]) -> str:
    """The owners that only the image can tell the numbers of; changing them drops set-id bits, so modes come again."""
    lines = []
    for file in files:
        if payload.numeric(file.owner) is None:
            path = shlex.quote(file.path)
            lines.append(f"chown -- {shlex.quote(file.owner)} {path}\nchmod -- {file.mode:04o} {path}")
    return "\n".join(lines)


def exports(environment: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def suite_script(files: Sequence[BuiltFile], commands: int, environment: Mapping[str, str], token: str) -> str:
    """What is run in the new root of a suite once its files are in place; commands are the files 1, 2, ... beside it.

    A line with ``token`` tells which command begins, or with which status it has failed.
    """
    lines = ["set -e", "exec >&2 </dev/null", exports(environment), "cd /", f"echo {token} files", owners(files)]
    for number in range(1, commands + 1):
        lines.append(f"echo {token} {number}")
        lines.append(f'/bin/sh -e {PLACE}/{number} || {{ echo "{token} failed $?"; exit 1; }}')
    lines += [f"rm -rf {PLACE}", f"echo {token} done"]
    return "\n".join(lines) + "\n"


_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

SUITE_HOOK = (
    f"env -i PATH={PATH} "
    + " ".join(f'${{{name}:+"{name}=${name}"}}' for name in _PROXIES)
    + f' chroot "$1" /bin/sh {PLACE}/run'
)
"""How mmdebstrap is told to run `suite_script`: constant, whatever the recipe says."""
