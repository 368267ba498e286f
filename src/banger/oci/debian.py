"""Debian root file systems from Debian's own signed archive, made by mmdebstrap without root.

A plain user needs subordinate ids (/etc/subuid, /etc/subgid) and newuidmap: mmdebstrap then works in a user namespace.
Root needs neither. The daemon of a system installation, which may gain no privileges, has a service do it
(`debian_client`). Packages come from the mirror that this host's apt uses, when the host is a Debian, with its updates
and security archives; otherwise from deb.debian.org.

What comes out is neutral: no ssh host keys (made at the first start of sshd), an empty machine-id (made at the first
boot), a fixed host name, no password for root, no package lists, no units that work behind a short-lived machine's
back. The network is set up from outside.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Sequence

from banger import errors, proc
from banger.log import printable
from banger.oci import debian_client, subids
from banger.oci.progress import Progress, silent

MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

DEFAULT_SUITE = "bookworm"
DEFAULT_PACKAGES = (
    "systemd", "systemd-sysv", "udev", "dbus", "openssh-server", "git", "ca-certificates", "curl", "sudo", "iproute2",
    "iputils-ping", "kmod", "procps", "less", "vim-tiny", "jq", "python3",
)  # fmt: skip
"""What a machine to work in has: an init, ssh, the tools that scripts expect."""

_SUITES_WITHOUT_SECURITY = ("sid", "unstable", "experimental")
_SUITE = re.compile(r"[a-z][a-z0-9-]{1,31}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,63}")
_SOURCE_LINE = re.compile(r"deb\s+(?:\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "e2scrub_reap.service",  # of snapshots that LVM would have made
    "modprobe@drm.service", "modprobe@efi_pstore.service",  # no display, no firmware
    "modprobe@dm_mod.service", "modprobe@loop.service",  # the kernel loads them when /dev names are first opened
)  # fmt: skip
"""Units that work behind a short-lived machine's back, or look at each boot for what a machine does not have."""

HOST_KEYS = """\
# The image has no host keys: each machine makes its own, once. sshd checks its configuration itself.
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -e /etc/ssh/ssh_host_ed25519_key || \
/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
"""

_NEUTRAL = f"""\
rm -f /etc/ssh/ssh_host_* /etc/resolv.conf /var/lib/systemd/random-seed
rm -f /var/lib/dbus/machine-id /etc/hostname
: > /etc/machine-id
echo debian > /etc/hostname
printf '127.0.0.1 localhost debian\\n::1 localhost ip6-localhost\\n' > /etc/hosts
if [ -d /lib/systemd/system ]; then
    mkdir -p /etc/systemd/system
    for unit in {" ".join(MASKED)}; do
        ln -sf /dev/null /etc/systemd/system/"$unit"
    done
fi
if [ -e /usr/sbin/sshd ]; then
    mkdir -p /etc/systemd/system/ssh.service.d
    printf '%s' {shlex.quote(HOST_KEYS)} > /etc/systemd/system/ssh.service.d/host-keys.conf
fi
"""
"""Run inside the new root when all else is in place: what is in there may be a link to anywhere."""

_STAGES = {
    "running apt-get update": "reading the package lists",
    "downloading packages": "downloading packages",
    "extracting archives": "unpacking the essential packages",
    "installing essential packages": "installing the essential packages",
    "installing remaining packages": "installing the other packages",
    "creating tarball": "writing the archive",
}
"""What mmdebstrap says of its progress, as far as it is worth telling."""

_NO_ROOM = ("No space left on device", "You don't have enough free space in ")
"""What programs say of a full disk, and apt of one that will not hold what it is about to download."""

_FULL = 64 << 10
"""Bytes free at which a failure is the disk's: on a full one, apt may say that a signature is invalid."""


async def build_rootfs_tar(
    suite: str,
    packages: Sequence[str],
    output: str,
    *,
    mirror: str | None = None,
    hooks: Sequence[str] = (),
    progress: Progress = silent,
    heard: Callable[[str], None] = lambda line: None,
) -> None:
    """Write a tar of ``suite`` (its required packages and ``packages``) to the new file ``output``.

    ``hooks`` are mmdebstrap's customize hooks, run when all packages are in place; ``heard`` gets each line it says.
    Whose process dies in the middle calls `discard` for the same output.

    Raises `errors.SubordinateIdsMissing`, `errors.ToolMissing`,
    `errors.UsageError`, `errors.DiskFull`, `errors.BuildFailed`.
    """
    check(suite, packages)
    check_host()
    service = debian_client.place()
    if service is not None:
        wanted = debian_client.Request(
            output=output, suite=suite, packages=tuple(packages), mirror=mirror, hooks=tuple(hooks)
        )
        await debian_client.ask(service, wanted, progress, heard)
        return
    scratch = _scratch(output)
    os.mkdir(scratch)
    os.chmod(scratch, 0o711)  # noqa: S103 - subordinate ids pass through it
    # as root it mounts the host's /dev, /proc and /sys in the new root: what clears up after it must not see those
    argv = ["unshare", "--mount", "--"] if os.geteuid() == 0 else []
    argv += [proc.find("mmdebstrap"), f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--variant=minbase"]
    argv += ["--architectures=amd64", f"--keyring={KEYRING}", "--format=tar"]
    argv += [f"--include={','.join(packages)}"] if packages else []
    argv += [f"--customize-hook={hook}" for hook in (*hooks, _inside(_NEUTRAL))] + [suite, output]
    argv += [f"deb {mirror} {suite} main"] if mirror else sources(suite, _read_sources(), _host_codename())

    least = _free(scratch)

    def hear(line: str) -> None:
        nonlocal least
        least = min(least, _free(scratch))
        heard(line)
        stage = next((told for said, told in _STAGES.items() if line.startswith("I: " + said)), None)
        if stage is not None:
            progress(stage, 0, None)

    midnight = int(time.time()) // 86400 * 86400
    env = {"TMPDIR": scratch, "SOURCE_DATE_EPOCH": str(midnight), "PATH": _with_sbin()}
    try:
        result = await proc.run(argv, env=env, cwd="/", check=False, on_line=hear)
        if result.status != 0:
            raise errors.DiskFull(path=scratch) if least < _FULL else complaint(result.stderr, suite, scratch)
    except BaseException:
        if os.path.exists(output):
            os.unlink(output)
        raise
    finally:
        await _remove(scratch)


async def discard(output: str) -> None:
    """End what is still at work on ``output`` though its caller has died, and remove what it left; or do nothing."""
    scratch = _scratch(output)
    service = debian_client.place()
    if not os.path.lexists(scratch):
        return
    if service is not None:
        with contextlib.suppress(errors.BangerError):  # what stays is in nobody's way
            await debian_client.ask(service, debian_client.Request(output=output, discard=True), silent, lambda _: None)
    else:
        await asyncio.to_thread(proc.end_marked, "TMPDIR", scratch)
        await _remove(scratch)


async def _remove(scratch: str) -> None:
    """Remove what a killed mmdebstrap left: files of subordinate ids, which only they can remove."""
    if os.geteuid() != 0 and os.listdir(scratch):
        left = [os.path.join(scratch, name) for name in os.listdir(scratch)]
        await proc.run(["mmdebstrap", "--unshare-helper", "rm", "-rf", *left], check=False)
    await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _inside(script: str) -> str:
    """A hook that runs a script in the new root."""
    return f'chroot "$1" /bin/sh -euc {shlex.quote(script)}'


def check_host() -> None:
    """Whether mmdebstrap can work here. Raises `errors.SubordinateIdsMissing`, `errors.ToolMissing`."""
    proc.find("mmdebstrap")
    if not os.path.exists(KEYRING):
        raise errors.ToolMissing(tool="the keyring of Debian's archive", package="debian-archive-keyring")
    if os.geteuid() == 0:
        return
    proc.find("newuidmap")
    subids.require()


def sources(suite: str, host_sources: Iterable[str], host_codename: str) -> list[str]:
    """The lines of sources.list(5) for ``suite``: the host's own mirrors where the host is a Debian."""
    main, security = MIRROR, SECURITY_MIRROR
    if host_codename:
        for line in host_sources:
            found = _SOURCE_LINE.match(line)
            if found is None or "main" not in found["components"].split():
                continue
            if found["suite"] == host_codename:
                main = found["uri"].rstrip("/")
            elif found["suite"] == f"{host_codename}-security":
                security = found["uri"].rstrip("/")
    lines = [f"deb {main} {suite} main"]
    if suite not in _SUITES_WITHOUT_SECURITY:
        lines += [f"deb {main} {suite}-updates main", f"deb {security} {suite}-security main"]
    return lines


def deb822_lines(text: str) -> list[str]:
    """The sources of a deb822 file (sources.list.d/NAME.sources) as lines of sources.list(5)."""
    lines = []
    for stanza in re.split(r"\n\s*\n", text):
        kept = "\n".join(line for line in stanza.splitlines() if not line.startswith("#"))
        fields = {
            key.strip().lower(): value.split()
            for key, _, value in (line.partition(":") for line in re.sub(r"\n\s+", " ", kept).splitlines())
        }
        if "deb" not in fields.get("types", ()) or fields.get("enabled") == ["no"]:
            continue
        components = " ".join(fields.get("components", ()))
        lines += [
            f"deb {uri} {suite} {components}" for uri in fields.get("uris", ()) for suite in fields.get("suites", ())
        ]
    return lines


def _read_sources() -> list[str]:
    found = _lines("/etc/apt/sources.list")
    directory = "/etc/apt/sources.list.d"
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        lines = _lines(os.path.join(directory, name))
        if name.endswith(".list"):
            found += lines
        elif name.endswith(".sources"):
            found += deb822_lines("\n".join(lines))
    return found


def _host_codename() -> str:
    """The release's name when this host is a Debian, otherwise nothing."""
    fields = dict(line.split("=", 1) for line in _lines("/etc/os-release") if "=" in line)
    return fields.get("VERSION_CODENAME", "").strip('"') if fields.get("ID", "").strip('"') == "debian" else ""


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def check(suite: str, packages: Sequence[str]) -> None:
    """Raises `errors.UsageError` for what cannot be a suite or a package."""
    if not _SUITE.fullmatch(suite):
        raise errors.UsageError(detail=f"{printable(suite, 80)!r} is not the name of a Debian suite")
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise errors.UsageError(detail=f"{printable(package, 80)!r} is not the name of a Debian package")


def _scratch(output: str) -> str:
    """Where mmdebstrap unpacks: beside the output, or in /var/tmp when subordinate ids cannot reach that place.

    The name follows from the output's, which nobody else can foresee when it matters, so that it can be found again.
    """
    output = os.path.abspath(output)
    name = f"banger-debian-{hashlib.sha256(output.encode()).hexdigest()[:16]}"
    beside = path = os.path.dirname(output)
    while os.geteuid() != 0 and path != "/":
        if os.path.isdir(path) and not os.stat(path).st_mode & 0o001:
            return f"/var/tmp/{name}"  # noqa: S108 - a new directory of ours, or it fails
        path = os.path.dirname(path)
    return os.path.join(beside, name)


def _free(directory: str) -> int:
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


def _with_sbin() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def complaint(stderr: bytes, suite: str, scratch: str) -> errors.BangerError:
    """The error that mmdebstrap's last words stand for."""
    text = stderr.decode("utf-8", "replace")
    if any(said in text for said in _NO_ROOM):
        return errors.DiskFull(path=scratch)
    said = [line[3:] for line in text.splitlines() if line.startswith("E: ")]
    telling = [line for line in said if not line.startswith(("run_chroot", "mmdebstrap failed", "child "))]
    reason = printable(" / ".join((telling or said)[:3]) or text.strip().rpartition("\n")[2], 400)
    return errors.BuildFailed(name=f"Debian {suite}", reason=reason or "mmdebstrap failed without a word")
