"""skopeo as a child: how it is called, and what its last words mean.

It dies with this process, also by ``kill -9``: setpriv asks the kernel for that before it becomes skopeo. TLS is asked
for everywhere but on this host's loopback. `_COMPLAINTS` maps what it says to errors; *broken* is what another attempt
may mend.
"""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from banger import errors, proc
from banger.log import printable
from banger.oci.reference import Reference

PATIENCE = 120.0
"""How many seconds a registry may say nothing."""

_FATAL = re.compile(r'level=fatal msg="((?:[^"\\]|\\.)*)"')
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PLATFORM, _BLOB, _DISK, _CUT, _UNSQUASHFS = "platform", "blob", "disk", "cut", "unsquashfs"

_COMPLAINTS = (
    (r"no space left on device", _DISK, False),
    (r"no image found in (?:manifest list|image index)|choosing (?:an )?image", _PLATFORM, False),
    (r"unexpected EOF|connection reset by peer|broken pipe|: EOF$|http2: |tls: bad record MAC", _CUT, True),
    (r"[Dd]igest did not match|does not match expected|[Ss]ize mismatch|invalid checksum|"
     r"does not match (?:provided manifest )?digest|error hashing|cannot unmarshal|invalid character", _BLOB, False),
    (r"exceeded maximum allowed size", "a document of it is larger than any image's", False),
    (r"unsupported protocol scheme|stopped after \d+ redirects", "it redirects to where no image can be", False),
    (r"manifest unknown|name unknown|NAME_UNKNOWN|MANIFEST_UNKNOWN|status code: 404|no descriptor found|"
     r"Tag \S+ not found",
     "there is no such image or tag", False),
    (r"unauthorized|authentication required|access to the resource is denied|\b40[13]\b",
     "access refused; 'skopeo login' or 'docker login' stores credentials", False),
    (r"toomanyrequests|StatusCode: 429", "it has had too many requests from here", False),
    (r"connection refused", "nothing answers there (connection refused)", True),
    (r"no such host|server misbehaving|Temporary failure in name resolution",
     "its host name cannot be resolved", True),
    (r"server gave HTTP response to HTTPS client",
     "the registry speaks plain HTTP, which is used on loopback only", False),
    (r"i/o timeout|Client\.Timeout|context deadline exceeded|no route to host|network is unreachable|"
     r"TLS handshake timeout|connection timed out", "the network gave no answer", True),
    (r"unexpected HTTP status:? 5\d\d|status code: 5\d\d|StatusCode: 5\d\d", "the registry is out of order", True),
    (r"policy\.json", "skopeo has no /etc/containers/policy.json (package golang-github-containers-common)", False),
    (r"unsquashfs: not found", _UNSQUASHFS, False),
    (r"[Cc]annot connect to the Docker daemon", "there is no Docker daemon to ask", False),
    (r"is not supported in this build", "the skopeo of this host was built without that transport", False),
    (r"does not resolve to an image ID", "there is no such image in that storage", False),
    (r"no such file or directory|does not exist|archive file not found", "there is no such file or directory", False),
)  # fmt: skip
"""What skopeo says, what it means (a kind of error, or the reason that is given to the user), and if that may pass."""


class Complaint(NamedTuple):
    """Why skopeo failed. ``broken``: the connection did; what is asked for may well be there."""

    error: errors.BangerError
    broken: bool


async def run(arguments: Sequence[str], *, timeout: float | None = None) -> proc.Result:
    """Run skopeo to its end, whatever that is. Raises `errors.ToolMissing`, `errors.TimedOut`."""
    return await proc.run(["skopeo", *arguments], check=False, mortal=True, timeout=timeout)


def tls(reference: Reference, option: str = "--tls-verify") -> list[str]:
    """The option that lets a registry on loopback speak plain HTTP."""
    return [f"{option}=false"] if reference.loopback else []


def source(reference: Reference) -> list[str]:
    """The options of a copy that say how to speak to the source.

    A Docker daemon is asked where DOCKER_HOST says, which skopeo does not look at, or at its usual socket.
    """
    host = os.environ.get("DOCKER_HOST", "") if reference.transport == "docker-daemon" else ""
    return [*tls(reference, "--src-tls-verify"), *([f"--src-daemon-host={host}"] if host else [])]


def silence(reference: Reference) -> Complaint:
    """What is said of a registry that says nothing."""
    return Complaint(errors.SourceUnavailable(reference=str(reference), reason="the network gave no answer"), True)


def complaint(stderr: bytes, reference: Reference, platform: tuple[str, str], cache: str) -> Complaint:
    """What skopeo's last words stand for."""
    text = stderr.decode("utf-8", "replace")
    fatal = _FATAL.findall(text)
    words = (fatal[-1] if fatal else text.strip().rpartition("\n")[2]).replace('\\"', '"')
    meaning, broken = printable(words, 300) or "skopeo failed without a word", False
    for pattern, means, passing in _COMPLAINTS:
        if re.search(pattern, words):
            meaning, broken = means, passing
            break
    if meaning == _CUT:
        meaning, broken = ("the connection broke", True) if reference.transport == "docker" else (_BLOB, False)
    if meaning == _DISK:
        return Complaint(errors.DiskFull(path=cache), False)
    if meaning == _UNSQUASHFS:
        return Complaint(errors.ToolMissing(tool=meaning, package=proc.PACKAGES[meaning]), False)
    if meaning == _PLATFORM:
        wanted = "/".join(platform)
        return Complaint(errors.WrongPlatform(reference=str(reference), found="other platforms", wanted=wanted), False)
    if meaning == _BLOB:
        digest = _DIGEST.search(words)
        name = digest.group() if digest else str(reference)
        return Complaint(errors.CorruptBlob(digest=name, reason="what arrived is not what was promised"), False)
    return Complaint(errors.SourceUnavailable(reference=str(reference), reason=meaning), broken)
