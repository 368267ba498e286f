"""Image references: where an image comes from, as one validated value.

==========================  ==========================================================================
``[HOST[:PORT]/]PATH[:TAG][@DIGEST]``   a registry; ``docker://`` may stand in front. As Docker
                                        reads it: docker.io when no host is named, library/ for a
                                        single component there, latest when there is neither tag nor digest
``oci:DIR[:TAG]``           an OCI image layout
``docker-archive:FILE[:REF]``           a file of ``docker save``
``TRANSPORT:REST``          what else skopeo reads: oci-archive, dir, docker-daemon, containers-storage,
                            ostree, sif, tarball
==========================  ==========================================================================

A reference becomes an argument of skopeo; the grammar is closed: no control characters, nothing that begins with a
hyphen, at most 4096 bytes.
"""

import os
import re

import msgspec

from banger import errors
from banger.log import printable

LIMIT = 4096
TRANSPORTS = (
    "docker", "oci", "oci-archive", "docker-archive", "docker-daemon", "dir", "containers-storage", "ostree", "sif",
    "tarball",
)  # fmt: skip

_PATH_TRANSPORTS = ("oci", "oci-archive", "docker-archive", "dir", "sif", "tarball")
"""What follows is a path; a relative one is made absolute, since the daemon has another directory than its client."""

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_NAME_LIMIT = 255


class Reference(msgspec.Struct, frozen=True):
    """Where an image comes from. ``rest`` is what skopeo wants behind the transport's name."""

    transport: str
    rest: str
    host: str = ""

    def __str__(self) -> str:
        """As people write it; `parse` gives the same value again."""
        return self.rest if self.transport == "docker" else f"{self.transport}:{self.rest}"

    @property
    def skopeo(self) -> str:
        """As skopeo wants it."""
        if self.transport != "docker":
            return f"{self.transport}:{self.rest}"
        return self.at(self.digest) if self.digest else f"docker://{self.rest}"

    @property
    def digest(self) -> str:
        """The digest that it names, or nothing."""
        return self.rest.partition("@")[2] if self.transport == "docker" else ""

    def at(self, digest: str) -> str:
        """As skopeo wants the image of that digest in the same repository of a registry."""
        head, slash, last = self.rest.partition("@")[0].rpartition("/")
        return f"docker://{head}{slash}{last.partition(':')[0]}@{digest}"  # skopeo refuses a tag beside a digest

    @property
    def loopback(self) -> bool:
        """Whether it names a registry on this host's loopback, where plain HTTP is not a risk."""
        host = self.host.rpartition(":")[0] if re.search(r":[0-9]+$", self.host) else self.host
        return self.transport == "docker" and host in ("localhost", "127.0.0.1", "[::1]")


def parse(text: str, directory: str | None = None) -> Reference:
    """The value of a reference. Relative paths are taken from ``directory`` (the current one).

    Raises `errors.InvalidReference`.
    """
    if not text or len(text.encode("utf-8", "surrogateescape")) > LIMIT:
        raise _invalid(text, "it is empty or longer than 4096 bytes")
    if not text.isprintable() or text != text.strip():
        raise _invalid(text, "it has a control character, or a space at an end")
    if text.startswith("-"):
        raise _invalid(text, "it begins with a hyphen")
    transport, colon, rest = text.partition(":")
    if colon and transport in TRANSPORTS and (transport != "docker" or rest.startswith("//")):
        if transport == "docker":
            return _registry(text, rest[2:])
        return _elsewhere(text, transport, rest, directory)
    if colon and rest.startswith("//"):
        raise _invalid(text, f"there is no transport {transport!r}")
    return _registry(text, text)


def _registry(text: str, name: str) -> Reference:
    found = _REGISTRY.fullmatch(name)
    if found is None:
        raise _invalid(text, "it is not of the form [HOST[:PORT]/]NAME[:TAG][@DIGEST]")
    host, path, tag, digest = found.group("host", "path", "tag", "digest")
    if host is not None and not _is_host(host):
        host, path = None, f"{host}/{path}"
    if host is None or host in ("docker.io", "index.docker.io"):
        host = "docker.io"
        path = path if "/" in path else f"library/{path}"
    if len(host) + 1 + len(path) > _NAME_LIMIT:
        raise _invalid(text, "its name is longer than 255 characters")
    if not re.fullmatch(rf"{_COMPONENT}(?:/{_COMPONENT})*", path):
        raise _invalid(text, "a repository's name is lower case")
    if tag is None and digest is None:
        tag = "latest"
    rest = f"{host}/{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return Reference("docker", rest, host)


def _is_host(name: str) -> bool:
    """Docker's rule for what the first component is."""
    return "." in name or ":" in name or name == "localhost" or name != name.lower()


def _elsewhere(text: str, transport: str, rest: str, directory: str | None) -> Reference:
    if not rest or rest.startswith("-"):
        raise _invalid(text, f"nothing that {transport}: could read follows")
    if transport in _PATH_TRANSPORTS and not rest.startswith("/"):
        rest = os.path.join(directory if directory is not None else os.getcwd(), rest)
    return Reference(transport, rest)


def _invalid(text: str, reason: str) -> errors.InvalidReference:
    return errors.InvalidReference(reference=printable(text, 200), reason=reason)
