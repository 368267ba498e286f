"""The distribution's own kernel for virtual machines, out of its packages, without root and without installing them.

apt chooses, downloads and verifies: first by the package lists that the host has, and when those do not lead to a
package any more (they are absent, or older than the mirror) by fresh lists in a state directory of our own. On a host
without a kernel package that we know, Debian's is taken, verified by Debian's archive keyring.

The packages are unpacked with ``dpkg-deb -x``, which runs no script.
"""

import os
import re
import shutil
from collections.abc import Callable, Sequence

from banger import errors, proc

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEBIAN_SOURCES = (
    f"deb [signed-by={KEYRING}] http://deb.debian.org/debian bookworm main",
    f"deb [signed-by={KEYRING}] http://deb.debian.org/debian-security bookworm-security main",
)

METAPACKAGES = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
"""The package of each distribution that always depends on its newest kernel for virtual machines."""

_WANTED = re.compile(r"linux-(?:image|modules)(?:-unsigned|-extra)?-[0-9][0-9a-z.+~-]*")
"""Real kernel packages: Ubuntu keeps the modules in one of their own."""

Progress = Callable[[str], None]


async def fetch(directory: str, progress: Progress) -> str:
    """Download and unpack the kernel packages below ``directory``; returns the unpacked tree's path."""
    tree = os.path.join(directory, "tree")
    os.makedirs(tree)
    packages = await _download(directory, progress)
    for package in packages:
        progress(f"unpacking {os.path.basename(package)}")
        await proc.run(["dpkg-deb", "-x", package, tree], timeout=300)
    return tree


async def _download(directory: str, progress: Progress) -> list[str]:
    family = _family(_os_release("/etc/os-release"))
    if family is not None:
        try:
            return await _from_lists(METAPACKAGES[family], directory, [], progress)
        except (errors.ToolFailed, errors.SourceUnavailable):
            progress("the host's package lists are absent or out of date; fetching fresh ones")
    return await _from_lists(
        METAPACKAGES[family or "debian"], directory, await _own_lists(directory, family is None), progress
    )


def _os_release(path: str) -> dict[str, str]:
    """os-release(5) as a mapping; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            pairs = [line.strip().partition("=") for line in file if "=" in line]
    except OSError:
        return {}
    return {name: value.strip("\"'") for name, _, value in pairs}


def _family(release: dict[str, str]) -> str | None:
    """The distribution whose metapackage fits: the host's own, or the one that it is derived from."""
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        if name in METAPACKAGES:
            return name
    return None


async def _own_lists(directory: str, debian: bool) -> list[str]:
    """Options that give apt a state of ours, with fresh lists; from Debian's mirrors or the host's own sources."""
    state = os.path.join(directory, "apt")
    for each in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(state, each))
    options = [
        "-o", f"Dir::State={state}", "-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache",
        "-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64",
    ]  # fmt: skip
    if debian:
        if not os.path.exists(KEYRING):
            raise errors.ToolMissing(tool="the Debian archive keyring", package="debian-archive-keyring")
        sources = os.path.join(state, "sources.list")
        with open(sources, "w", encoding="ascii") as file:
            file.write("\n".join(DEBIAN_SOURCES) + "\n")
        options += ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=-"]
    if os.geteuid() == 0:
        options += ["-o", "APT::Sandbox::User=root"]
    await proc.run(["apt-get", *options, "-q", "update"], timeout=300)
    return options


async def _from_lists(metapackage: str, directory: str, options: Sequence[str], progress: Progress) -> list[str]:
    """Follow the metapackage to the real packages and download those."""
    names = await _resolve(metapackage, options)
    archives = os.path.join(directory, "packages")
    shutil.rmtree(archives, ignore_errors=True)
    os.makedirs(archives)
    progress(f"downloading {' '.join(names)}")
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    await proc.run(["apt-get", *options, *sandbox, "-q", "download", *names], cwd=archives, timeout=1800)
    return [os.path.join(archives, name) for name in sorted(os.listdir(archives)) if name.endswith(".deb")]


async def _resolve(metapackage: str, options: Sequence[str]) -> list[str]:
    """The kernel packages that a metapackage stands for. Raises `errors.SourceUnavailable`."""
    found: list[str] = []
    waiting = [metapackage]
    while waiting:
        package = waiting.pop(0)
        shown = await proc.run(["apt-cache", *options, "show", "--no-all-versions", package], check=False, timeout=60)
        for name in dependencies(shown.stdout.decode("utf-8", "replace")):
            if name not in found:
                found.append(name)
                waiting.append(name)
    if not any(name.startswith("linux-image") for name in found):
        raise errors.SourceUnavailable(reference=metapackage, reason="apt knows no such package")
    return found


def dependencies(record: str) -> list[str]:
    """Kernel packages in the Depends field of a package's record; the first of each set of alternatives."""
    names = []
    for line in record.splitlines():
        if line.startswith(("Depends:", "Pre-Depends:")):
            for each in line.partition(":")[2].split(","):
                name = each.split("|")[0].split("(")[0].strip()
                if _WANTED.fullmatch(name):
                    names.append(name)
    return names
