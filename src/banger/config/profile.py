"""Profiles: what ``banger run`` is told by a name, or by a repository's own file, instead of by flags.

``[profile.NAME]`` is the user's, in config.toml. ``.banger.toml`` lies in a repository, which may be anybody's: it says
nothing but what a machine is like and what is installed in it, names no path of the host, and takes no effect before
its content is trusted (`banger.config.trust`).
"""

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

import banger
from banger.config import file, values
from banger.config.values import Row, Wrong, rows

PROJECT_LIMIT = 64 << 10

LOCAL = (
    "oci", "oci-archive", "docker-archive", "docker-daemon", "dir", "containers-storage", "ostree", "sif", "tarball",
)  # fmt: skip
"""What an image reference begins with that reads from this host; a test holds it against `banger.oci.reference`."""

_MOST = 256
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _table(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST:
        raise ValueError
    for name, each in value.items():
        if not name or not isinstance(each, str) or "\0" in name + each or "=" in name or not name.isprintable():
            raise Wrong((name,), f"{values.shown(each)} is not a string, or the name is not one")
    return dict(value)


def _ports(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise ValueError
    if not all(isinstance(each, str) and each and not each.strip("0123456789abcdefABCDEF.:[]") for each in value):
        raise ValueError
    return list(value)


def _packages(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError
    if len(value) > _MOST:
        raise Wrong((), f"these are {len(value)}, and {_MOST} is the most")
    for number, each in enumerate(value):
        if not isinstance(each, str) or not _is_package(each):
            raise Wrong((number,), f"{values.shown(each)} is not the name of a package, without its version")
    return list(dict.fromkeys(value))


def _is_package(name: str) -> bool:
    """Whether it can only be a name to every package manager: no option, path, expression, version or removal."""
    return 0 < len(name) <= 128 and not name.strip(_LETTERS + "+._-") and name[0] in _LETTERS and name[-1] != "-"


def _image_from_afar(value: object) -> str:
    image = values.text(value)
    if not image.isprintable() or image.partition(":")[0] in LOCAL or image.startswith(("/", ".", "~")):
        raise ValueError
    return image


PACKAGES = "packages"

FIELDS = (
    Row("image", "a string", values.text, "The image to make it from.", "debian-bookworm"),
    Row("vcpu", "a whole number from 1 to 64", values.whole(1, 64), "Processors.", 2),
    Row("memory", 'a size: "512M", "4G", or a whole number of MiB', values.size, "Memory.", 4 << 30),
    Row("disk_size", 'a size: "8G"', values.size, "Size of the root disk.", 16 << 30),
    Row("work_disk_size", 'a size: "8G"', values.size, "Size of the disk on /root.", 16 << 30),
    Row("nat", "true or false", values.truth, "Whether it reaches the outside.", True),
    Row("peers", "true or false", values.truth, "Whether it and other machines with this reach each other.", False),
    Row("publish", 'an array of "[ADDR:]PORT[:GUEST]"', _ports,
        "Ports of this host that are forwarded into it while it runs.", ["8080:80"]),
    Row("env", "a table of strings", _table, "Environment variables of its commands.", {"LANG": "C.UTF-8"}),
    Row("labels", "a table of strings", _table, "Notes about it, to find it by.", {"team": "web"}),
    Row(PACKAGES, "an array of names of packages", _packages,
        "Packages of the image's distribution, installed before anything else runs.", ["make", "gcc"]),
)  # fmt: skip
"""The keys of a profile; all but `PACKAGES` are named like the field of `banger.api.vm.CreateVm` that they are for."""

WORKSPACE = Row(
    "workspace", "true or false", values.truth,
    "Whether 'banger run' without PATH takes the repository along that the file lies in.", True,
)  # fmt: skip

PROJECT_FIELDS = (
    Row("image", "the name of an image or a reference to a registry", _image_from_afar, *FIELDS[0][3:]),
    *FIELDS[1:],
    WORKSPACE,
)


def parse(value: object) -> dict[str, dict[str, object]]:
    """All profiles of a file, by their names."""
    if not isinstance(value, dict):
        raise Wrong((), "these are tables: write [profile.NAME]")
    found = {}
    for name, table in value.items():
        if not name or len(name) > 63 or name.strip("abcdefghijklmnopqrstuvwxyz0123456789-") or name[0] == "-":
            raise Wrong((name,), "a profile's name is lower-case letters, digits and hyphens, up to 63")
        found[name] = rows(table, FIELDS, (name,))
    return found


class Project(NamedTuple):
    """A repository's file: where it is, all of it, and what it says."""

    path: str
    content: bytes
    values: dict[str, object]


def read(path: str) -> Project:
    """The file, which anybody may have written. Raises `errors.BadSetting`."""
    content = _content(path)
    return Project(path, content, parse_project(path, content))


def parse_project(path: str, content: bytes) -> dict[str, object]:
    """What such a file says. Raises `errors.BadSetting`."""
    parsed = file.parse(path, content)
    try:
        return rows(parsed.table, PROJECT_FIELDS, ())
    except Wrong as wrong:
        raise parsed.wrong(wrong.place, wrong.reason) from None


def _content(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        said = "it is a symbolic link" if os.path.islink(path) else error.strerror or str(error)
        raise banger.errors.BadSetting(path=path, key="(file)", reason=said) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise banger.errors.BadSetting(path=path, key="(file)", reason="it is not a regular file")
        content = b""
        while len(content) <= PROJECT_LIMIT and (piece := os.read(descriptor, PROJECT_LIMIT + 1)):
            content += piece
    finally:
        os.close(descriptor)
    if len(content) > PROJECT_LIMIT:
        raise banger.errors.BadSetting(path=path, key="(file)", reason="it is larger than 64 KiB")
    return content


def lines(said: Mapping[str, object]) -> list[str]:
    """What a profile says, a line for each setting, as the file would have it; safe to print."""
    sized = {each.name for each in PROJECT_FIELDS if each.parse in values.SIZES}
    found = []
    for name, value in said.items():
        inner = value.items() if isinstance(value, dict) else ()
        found += [f"{name}.{values.key_written(key)} = {values.written(each)}" for key, each in inner]
        found += [] if inner else [f"{name} = {values.written(value, sized=name in sized)}"]
    return [_line(each) for each in found]


def _line(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
