"""What a catalog's file may say: one structure for each kind of entry, with the checks of its values.

``kind`` tells them apart::

    [image.NAME]  kind = "bundle"   url, sha256, size             one archive, see `banger.bundles`
    [image.NAME]  kind = "oci"      reference                     an image of a registry, pinned by its digest
    [image.NAME]  kind = "debian"   suite, packages               built here of the distribution's packages
    [kernel.NAME] kind = "bundle"   url, sha256, size

All of them may have description, distribution and arch, an image's also kernel.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

from banger.text import printable

SIZE_LIMIT = 64 << 30
ARCHITECTURES = ("amd64", "arm64")

Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,62}$")]
Line = Annotated[str, msgspec.Meta(max_length=200)]
Url = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,2048}$")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=1, le=SIZE_LIMIT)]


class Wrong(Exception):
    """What is wrong with an entry: the key, and the reason in words."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What every entry may say."""

    kind: Literal["bundle", "oci", "debian"]
    description: Line = ""
    distribution: Line = ""
    arch: str = "amd64"
    kernel: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,62})?$")] = ""
    """The kernel of an image's machines that are not told another."""


class Bundle(Entry, frozen=True, kw_only=True):
    """``url`` may be a path, relative to the catalog's file; ``size`` and ``sha256`` are the compressed file's."""

    url: Url
    sha256: Sha256
    size: Size


class Pinned(Entry, frozen=True, kw_only=True):
    """An image of a registry."""

    reference: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,512}@sha256:[0-9a-f]{64}$")]


class Packages(Entry, frozen=True, kw_only=True):
    """A suite of Debian's, and what is installed in it besides the essential packages."""

    suite: Word
    packages: Annotated[list[Word], msgspec.Meta(max_length=1000)] = []


KINDS: Mapping[str, Mapping[str, type[Entry]]] = {
    "image": {"bundle": Bundle, "oci": Pinned, "debian": Packages},
    "kernel": {"bundle": Bundle},
}
"""The kinds of entry of each noun."""

T = TypeVar("T", bound=Entry)


def parse(noun: str, name: str, value: object) -> Entry:
    """The entry ``[NOUN.NAME]`` of a file. Raises `Wrong`."""
    where = f"{noun}.{printable(name, 80)}"
    if not isinstance(value, dict):
        raise Wrong(where, f"it is a table: write [{where}]")
    kinds = KINDS[noun]
    kind = value.get("kind")
    if kind is None:
        raise Wrong(where, f"it has no kind: {', '.join(kinds)}")
    if not isinstance(kind, str) or kind not in kinds:
        raise Wrong(f"{where}.kind", f"there is no kind {printable(str(kind), 40)!r}{nearest(str(kind), kinds)}")
    return _convert(where, value, kinds[kind], without=("kernel",) if noun == "kernel" else ())


def _convert(where: str, table: Mapping[str, object], kind: type[T], without: tuple[str, ...]) -> T:
    fields = {each.name: each for each in msgspec.structs.fields(kind) if each.name not in without}
    for key in table:
        if key not in fields:
            raise Wrong(f"{where}.{printable(key, 40)}", f"there is no such key{nearest(key, fields)}")
    for name, each in fields.items():
        if each.required and name not in table:
            raise Wrong(where, f"it has no {name}")
    try:
        found = msgspec.convert(table, kind)
    except msgspec.ValidationError as fault:
        reason, _, path = str(fault).partition(" - at `$")
        raise Wrong(where + path.rstrip("`"), reason[:1].lower() + reason[1:]) from None
    for name in ("description", "distribution"):
        if not getattr(found, name).isprintable():
            raise Wrong(f"{where}.{name}", "it has a control character")
    if found.arch not in ARCHITECTURES:
        raise Wrong(f"{where}.arch", f"there are {' and '.join(ARCHITECTURES)}")
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?``, when there is such an X."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
