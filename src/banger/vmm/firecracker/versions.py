"""Which Firecracker this driver works with, and which of its versions are known to be unsafe.

What is older than `OLDEST` lacks what we use; what is newer than `NEWEST_TESTED` is used, and the doctor says so.
"""

from typing import NamedTuple

Version = tuple[int, int, int]

OLDEST: Version = (1, 10, 0)
"""The first in which all of the API that we use is as it is today."""

NEWEST_TESTED: Version = (1, 12, 1)


class Advisory(NamedTuple):
    """A published weakness. A version is affected from ``first`` to ``last``, both included, in any of the spans."""

    name: str
    program: str
    spans: tuple[tuple[Version, Version], ...]
    weakness: str
    here: str
    """What it means for machines of ours."""
    mended: str

    def affects(self, version: Version) -> bool:
        return any(first <= version <= last for first, last in self.spans)


ADVISORIES: tuple[Advisory, ...] = (
    Advisory(
        "CVE-2026-1386",
        "jailer",
        (((0, 0, 0), (1, 13, 1)), ((1, 14, 0), (1, 14, 0))),
        "the jailer follows symbolic links in a jail that somebody else prepared",
        "jails lie below a directory of root's alone, and a jail that exists is refused",
        "1.13.2 or 1.14.1",
    ),
)
"""Not here: CVE-2026-5747 (1.13.0 to 1.14.3, 1.15.0) is in virtio over PCI, which no machine of ours has."""


class Judgement(NamedTuple):
    """``usable`` is whether to run machines on it at all; ``warnings`` are for the doctor, one line each."""

    usable: bool
    reason: str
    warnings: tuple[str, ...] = ()


def parse(text: str) -> Version | None:
    """A release's number; None for anything else, pre-releases included."""
    parts = text.removeprefix("v").split(".")
    if len(parts) != 3 or not all(each.isascii() and each.isdigit() and len(each) < 6 for each in parts):
        return None
    major, minor, patch = map(int, parts)
    return major, minor, patch


def words(version: Version) -> str:
    return ".".join(map(str, version))


def untested(version: Version) -> str:
    """What there is to say of a release of a line that no test has run; empty for one that is as tested."""
    return f"newer than what was tested, {words(NEWEST_TESTED)}" if version[:2] > NEWEST_TESTED[:2] else ""


def advisories(version: Version) -> tuple[str, ...]:
    """What is known to be weak in it, a line each."""
    return tuple(
        f"{each.program} {words(version)} has {each.name}: {each.weakness}; {each.here}; mended in {each.mended}"
        for each in ADVISORIES
        if each.affects(version)
    )


def judge(firecracker: str, jailer: str) -> Judgement:
    """What is installed, by the versions that the two programs state."""
    version = parse(firecracker)
    if version is None:
        return Judgement(False, f"{firecracker!r} is not a release of Firecracker")
    if parse(jailer) != version:
        return Judgement(False, f"firecracker is {firecracker} and jailer {jailer}: both must be of one release")
    if version < OLDEST:
        return Judgement(False, f"Firecracker {words(version)} is too old: {words(OLDEST)} or later is needed")
    reason = f"Firecracker {words(version)}"
    if told := untested(version):
        reason += f" ({told})"
    return Judgement(True, reason, advisories(version))
