"""Random stacks of layers, built into an image and read back, against an extraction by the rules into a directory.

The oracle extracts each layer onto the host's own filesystem, name by name, and so gets hard links, replacement and
directories from the kernel. It knows no cleverness: nothing is skipped, every layer is applied from the oldest on.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger import errors
from banger.oci.build import LayerSource, build_image
from tests.ext4_image import Ext4Image
from tests.guest_images import Tar
from tests.scratch import in_memory

part = st.sampled_from(["a", "b", "c"])
path = st.lists(part, min_size=1, max_size=3).map("/".join)
target = st.sampled_from(["a", "b", "a/b", "../a", "../b/c", "/a", "/b/a", "/c", "..", "./c", "../../../a"])


class Step(NamedTuple):
    """One entry of a layer."""

    kind: str
    path: str
    argument: str


step = st.one_of(
    st.builds(Step, st.just("file"), path, st.text("xyz", min_size=1, max_size=9)),
    st.builds(Step, st.just("file"), path, st.text("xyz", min_size=1, max_size=9)),
    st.builds(Step, st.just("directory"), path, st.just("")),
    st.builds(Step, st.just("symlink"), path, target),
    st.builds(Step, st.just("hardlink"), path, path),
    st.builds(Step, st.just("whiteout"), path, st.just("")),
    st.builds(Step, st.just("opaque"), path, st.just("")),
)
stack = st.lists(st.lists(step, max_size=6), min_size=1, max_size=4)


class Refused(Exception):
    """The layers must not be merged."""


def packed(layer: list[Step]) -> bytes:
    tar = Tar()
    for kind, name, argument in layer:
        folder, _, last = name.rpartition("/")
        beside = f"{folder}/" if folder else ""
        if kind == "file":
            tar.file(name, argument.encode())
        elif kind == "directory":
            tar.directory(name)
        elif kind == "symlink":
            tar.symlink(name, argument)
        elif kind == "hardlink":
            tar.hardlink(name, argument)
        else:
            tar.file(f"{beside}.wh.{last}" if kind == "whiteout" else f"{name}/.wh..wh..opq")
    return tar.bytes()


def resolve(root: Path, name: str, own: set[str], make: bool) -> Path | None:
    """The real directory that ``name`` leads to inside ``root``."""
    at, left, spelled, hops = root, name.split("/") if name else [], "", 0
    while left:
        first = left.pop(0)
        if first in ("", "."):
            continue
        if first == "..":
            at = at if at == root else at.parent
            continue
        if not hops:
            spelled = f"{spelled}/{first}" if spelled else first
        following = at / first
        if following.is_symlink():
            hops += 1
            if hops > 40:
                raise Refused
            if hops == 1 and spelled in own:
                return None
            link = os.readlink(following)
            at = root if link.startswith("/") else at
            left = link.split("/") + left
            continue
        if not following.is_dir():
            if not make:
                return None
            following.unlink(missing_ok=True)
            following.mkdir()
        at = following
    return at


def remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def extract(root: Path, layer: list[Step]) -> None:
    own = {name for kind, name, _ in layer if kind == "directory"}
    for kind, name, _ in layer:
        folder, _, last = name.rpartition("/")
        if kind == "whiteout" and (parent := resolve(root, folder, own, make=False)) is not None:
            remove(parent / last)
        if kind == "opaque" and (parent := resolve(root, name, own, make=False)) is not None:
            for child in list(parent.iterdir()):
                remove(child)
    for kind, name, argument in layer:
        if kind in ("whiteout", "opaque"):
            continue
        folder, _, last = name.rpartition("/")
        parent = resolve(root, folder, set(), make=True)
        assert parent is not None
        place = parent / last
        if kind == "directory":
            if place.is_symlink() or not place.is_dir():
                remove(place)
                place.mkdir()
        elif kind == "file":
            remove(place)
            place.write_text(argument)
        elif kind == "symlink":
            check_target(root, parent, argument)
            remove(place)
            place.symlink_to(argument)
        else:
            link(root, place, argument)


def check_target(root: Path, parent: Path, argument: str) -> None:
    depth = len(parent.relative_to(root).parts)
    for each in [] if argument.startswith("/") else argument.split("/"):
        depth += {"..": -1, ".": 0}.get(each, 1)
        if depth < 0:
            raise Refused


def link(root: Path, place: Path, argument: str) -> None:
    folder, _, last = argument.rpartition("/")
    parent = resolve(root, folder, set(), make=False)
    source = parent / last if parent is not None else None
    if source is None or not os.path.lexists(source) or (source.is_dir() and not source.is_symlink()):
        raise Refused
    if source != place:
        with tempfile.TemporaryDirectory(dir=root.parent) as aside:  # the source may lie in what is replaced
            os.link(source, Path(aside) / "it", follow_symlinks=False)
            remove(place)
            os.link(Path(aside) / "it", place, follow_symlinks=False)


def expected(root: Path) -> dict[str, tuple[str, str, frozenset[str]]]:
    """Kind, content, and all names of the same inode, for each name."""
    names = [Path(folder) / name for folder, folders, files in os.walk(root) for name in folders + files]
    groups: dict[int, set[str]] = {}
    for each in names:
        if each.is_symlink() or not each.is_dir():
            groups.setdefault(each.lstat().st_ino, set()).add(str(each.relative_to(root)))
    found = {}
    for each in names:
        name = str(each.relative_to(root))
        if each.is_symlink():
            found[name] = ("symlink", os.readlink(each), frozenset(groups[each.lstat().st_ino]))
        elif each.is_dir():
            found[name] = ("directory", "", frozenset((name,)))
        else:
            found[name] = ("regular", each.read_text(), frozenset(groups[each.lstat().st_ino]))
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(stack)
def test_a_stack_of_layers_is_what_extracting_it_gives(layers: list[list[Step]]) -> None:
    with in_memory() as name:
        directory = Path(name)
        root = directory / "root"
        root.mkdir()
        refused = False
        try:
            for layer in layers:
                extract(root, layer)
        except Refused:
            refused = True
        sources = []
        for number, layer in enumerate(layers):
            (directory / str(number)).write_bytes(packed(layer))
            sources.append(LayerSource(path=str(directory / str(number)), name=str(number)))
        output = directory / "image"
        try:
            build_image(sources, str(output), size=64 << 20, seed="property")
        except errors.UnsafeLayer:
            assert refused
            assert not output.exists()
            return
        assert not refused
        image = Ext4Image(output, directory)
        image.check()
        read = image.read()
        groups: dict[int, set[str]] = {}
        for each, file in read.items():
            groups.setdefault(file.inode, set()).add(each.decode())
        found = {
            each.decode(): (file.kind, file.data.decode(), frozenset(groups[file.inode]))
            for each, file in read.items()
            if each
        }
        assert found == expected(root)
