"""Images as the kernel shows them, against what ``umoci unpack`` makes of the same layers. Needs root.

Random stacks of layers in every form of archive; the layers of `tests.edge_layers`; Debian. Each image is mounted and
compared in type, mode, ids, nanosecond times, links, extended attributes and content; devices and fifos aside. Where
umoci itself deviates from the layers:

=====================================================  ===============================================================
the layers say                                         umoci
=====================================================  ===============================================================
a sparse file in the old GNU format (type S)           refuses the image: not made here, `test_build` has it
an extended attribute without a value                  drops it: not made here
a name below what an older entry made a file           refuses the image, where we put a directory in its place
a hard link to something below what it replaces        refuses the image, where we link to it
a whiteout behind entries below what it hides          keeps what they went through: whiteouts come first here
a directory that no layer names, in a setgid one       lets it inherit, where ours is 0755 root:root: not made here
a directory that no layer names                        gives it, and the directory it is in, the time of the unpacking:
                                                       that time is not compared (`layer_oracle.difference`)
=====================================================  ===============================================================

``BANGER_ORACLE_STACKS=1000:500`` takes 500 stacks from seed 1000 on.
"""

import contextlib
import gzip
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from banger import errors
from banger.oci.build import LayerSource, build_image
from tests import edge_layers, layer_oracle
from tests.ext4_image import Ext4Image
from tests.guest_images import compress, debian_tar, write_layout

pytestmark = pytest.mark.root

FIRST, STACKS = (int(each) for each in os.environ.get("BANGER_ORACLE_STACKS", "0:40").split(":"))
BLOCK = 512

PARTS = ("a", "b", "c")
LENGTHS = (1, 1, 2, 2, 2, 3, 3, 7)
AWKWARD = ("new\nline", "\udcff\udcfe", "n" * 255, 'quote"', "back\\slash", "ü", "m" * 120)
TARGETS = ("a", "b", "a/b", "../a", "../b/c", "/a", "/b/a", "/c", "..", "./c", "t" * 59, "t" * 60, "t" * 61)
CONTENTS = (b"", b"x", b"data" * 1500, bytes(70_000), b"a" + bytes(9_000) + b"b")
REFUSED_BY_UMOCI_ALONE = (
    ": not a directory",
    "link: no such file or directory",
)
COMPRESSIONS = ("gzip", "zstd", "none", "members")

KINDS = ("file", "file", "file", "directory", "directory", "symlink", "hardlink", "sparse", "whiteout", "opaque")
FORMS = ("pax", "pax", "pax", "gnu", "ustar")
ATTRIBUTES = {
    "user.a": b"1",
    "user.large": b"v" * 3000,
    "trusted.t": b"\x00\xff\n",
    "security.capability": edge_layers.CAPABILITY,
}


class Step(NamedTuple):
    """One entry of a layer; what does not apply to its kind is not used."""

    kind: str
    path: str
    prefix: str
    """Before the path as it is written."""
    form: str
    target: str
    content: int
    """Which of `CONTENTS`."""

    segments: tuple[tuple[int, int], ...]
    sparse: str
    mode: int
    uid: int
    gid: int
    second: int
    nanosecond: int
    attributes: tuple[str, ...]


Stack = tuple[tuple[Step, ...], ...]


class Maker:
    """Makes up stacks: the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._files: list[str] = []

    def stack(self) -> Stack:
        pick = self._random.randint
        return tuple(tuple(self._step() for _ in range(pick(1, 8))) for _ in range(pick(1, 4)))

    def _path(self) -> str:
        return "/".join(self._random.choice(PARTS * 5 + AWKWARD) for _ in range(self._random.choice(LENGTHS)))

    def _step(self) -> Step:
        chance = self._random
        kind, path = chance.choice(KINDS), self._path()
        if kind == "opaque" and chance.random() < 0.2:
            path = ""
        if kind == "hardlink" and not self._files:
            kind = "file"
        target = chance.choice(self._files[-4:] if kind == "hardlink" else TARGETS)
        if kind in ("file", "symlink", "sparse", "hardlink"):
            self._files.append(path)
        return Step(
            kind=kind,
            path=path,
            prefix=chance.choice(("", "./", ".//")),
            form=chance.choice(FORMS),
            target=target,
            content=chance.randrange(len(CONTENTS)),
            segments=tuple((chance.randint(0, 40), chance.randint(1, 9000)) for _ in range(chance.randint(0, 4))),
            sparse=chance.choice(("0.1", "1.0")),
            mode=chance.choice((0o644, 0o755, 0o4711, 0o2755, 0o1777, 0o600, 0)),
            uid=chance.choice((0, 1, 1000, 65_536, 4_000_000_000)),
            gid=chance.choice((0, 5, 70_000)),
            second=chance.choice((-86_400, 0, 1, 1_700_000_000, 4_102_444_800)),
            nanosecond=chance.choice((0, 1, 500_000_000, 123_456_789, 999_999_999)),
            attributes=tuple(chance.sample(sorted(ATTRIBUTES), chance.randint(0, 2))),
        )


def packed(layer: Sequence[Step]) -> bytes:
    """A layer as an archive."""
    ordered = sorted(
        layer, key=lambda step: step.kind != "whiteout" and bool(step.path)
    )  # the root's opaque marker too
    return b"".join(entry(each) for each in ordered) + bytes(2 * BLOCK)


def entry(step: Step) -> bytes:
    info = tarfile.TarInfo(step.path)
    info.mode, info.uid, info.gid, info.mtime = step.mode, step.uid, step.gid, step.second
    records: dict[str, str] = {}
    if step.nanosecond:
        records["mtime"] = pax_time(step.second, step.nanosecond)
    data = b""
    if step.kind == "file":
        data = CONTENTS[step.content]
    elif step.kind == "sparse":
        data = sparse(info, step, records)
    elif step.kind == "directory":
        info.type, info.mode = tarfile.DIRTYPE, step.mode & ~0o2000
    elif step.kind == "symlink":
        info.type, info.linkname = tarfile.SYMTYPE, step.target
    elif step.kind == "hardlink":
        info.type, info.linkname = tarfile.LNKTYPE, step.target
    else:
        folder, _, last = step.path.rpartition("/")
        if step.kind == "opaque":
            folder, last = step.path, ".wh..opq"  # at times the root itself
        info.name = f"{folder}/.wh.{last}" if folder else f".wh.{last}"
    if step.kind in ("file", "sparse", "directory"):
        records |= {
            f"SCHILY.xattr.{each}": ATTRIBUTES[each].decode("utf-8", "surrogateescape") for each in step.attributes
        }
    info.size = len(data)
    info.name = step.prefix + info.name
    return header(info, step, records) + data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


def header(info: tarfile.TarInfo, step: Step, records: dict[str, str]) -> bytes:
    if step.form == "gnu" and step.kind != "sparse":
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    if step.form == "ustar" and step.kind != "sparse":
        with contextlib.suppress(ValueError):  # it has no room for long names and large numbers
            return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    info.pax_headers = records
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def pax_time(second: int, nanosecond: int) -> str:
    total = second * 1_000_000_000 + nanosecond
    return f"{'-' if total < 0 else ''}{abs(total) // 1_000_000_000}.{abs(total) % 1_000_000_000:09}"


def sparse(info: tarfile.TarInfo, step: Step, records: dict[str, str]) -> bytes:
    """A sparse file in one of the forms that PAX archives have for it."""
    chunks: list[tuple[int, bytes]] = []
    at = 0
    for gap, length in step.segments:
        at += gap * 1000
        chunks.append((at, bytes([65 + gap]) * length))
        at += length
    size = at + 12_345
    chunks.append((size, b""))  # GNU tar ends a map with its size
    numbers = [number for offset, data in chunks for number in (offset, len(data))]
    data = b"".join(data for _, data in chunks)
    if step.sparse == "1.0":
        folder, _, last = step.path.rpartition("/")
        info.name = f"{folder}/GNUSparseFile.0/{last}" if folder else f"GNUSparseFile.0/{last}"
        records |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": step.path}
        records["GNU.sparse.realsize"] = str(size)
        text = "".join(f"{number}\n" for number in [len(chunks), *numbers]).encode()
        return text.ljust(-(-len(text) // BLOCK) * BLOCK, b"\0") + data
    records |= {"GNU.sparse.size": str(size), "GNU.sparse.numblocks": str(len(chunks))}
    if step.sparse == "0.1":
        records["GNU.sparse.name"] = step.path
    records["GNU.sparse.map"] = ",".join(map(str, numbers))
    return data


def compared(directory: Path, layers: list[bytes], compression: str) -> Mapping[bytes, object]:
    """Build an image of ``layers`` and hold it against umoci's directory: what differs."""
    began = time.time_ns() - 1_000_000_000
    sources = []
    for number, layer in enumerate(layers):
        half = len(layer) // 1024 * 512  # two members, as some writers make them
        data = gzip.compress(layer[:half], 1) + gzip.compress(layer[half:], 1) if compression == "members" else (
            compress(layer, compression)
        )  # fmt: skip
        (directory / str(number)).write_bytes(data)
        sources.append(LayerSource(path=str(directory / str(number)), name=str(number)))
    image = directory / "image"
    build_image(sources, str(image), seed="oracle")
    Ext4Image(image, directory).check()
    write_layout(directory / "layout", layers, compression="none" if compression == "none" else "gzip")
    expected = layer_oracle.facts(layer_oracle.umoci(directory / "layout", directory / "bundle"))
    return layer_oracle.difference(expected, layer_oracle.mounted(image), began)


def wrong(stack: Stack, compression: str) -> Mapping[bytes, object] | None:
    """What is not as it should be about the image of a stack; None where there are no two images to compare."""
    with tempfile.TemporaryDirectory() as name:
        try:
            return compared(Path(name), [packed(layer) for layer in stack], compression)
        except errors.UnsafeLayer:
            return None  # what may be refused is the matter of other tests
        except layer_oracle.Refused as refusal:
            return None if str(refusal).endswith(REFUSED_BY_UMOCI_ALONE) else {b"": refusal}


def smallest(stack: Stack, compression: str) -> Stack:
    """A stack with which something is wrong, without the entries that do not matter."""
    for number, layer in enumerate(stack):
        for at in reversed(range(len(layer))):
            layers = list(stack)
            layers[number] = layer = (*layer[:at], *layer[at + 1 :])
            if wrong(tuple(layers), compression):
                stack = tuple(layers)
            else:
                layer = stack[number]
    return stack


def test_a_random_stack_is_what_umoci_makes_of_it() -> None:
    same = 0
    for seed in range(FIRST, FIRST + STACKS):
        stack, compression = Maker(seed).stack(), COMPRESSIONS[seed % len(COMPRESSIONS)]
        found = wrong(stack, compression)
        if found:
            stack = smallest(stack, compression)
            pytest.fail(f"seed {seed}, {compression}: {stack}\n{wrong(stack, compression)}")
        same += found is not None
    assert same >= STACKS // 2, f"of {STACKS} stacks only {same} were compared"


def test_the_edge_layers_on_debian_are_what_umoci_makes_of_them(tmp_path: Path) -> None:
    layers = [debian_tar().read_bytes(), edge_layers.below(), edge_layers.above()]
    assert compared(tmp_path, layers, "none") == {}
