"""The form of an overlay: how large its parts are, what may be at its beginning, which tables are ours."""

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper import snapshot
from banger.helper.disk import RawDisk
from banger.helper.host import Host
from banger.helper.operation import Failed, Operation, Refused
from banger.helper.snapshot import CHUNK, Layout, Snapshot, layout

MACHINE = "0123456789abcdef"
MAGIC = 0x70416E53


def slots_needed(chunks: int) -> int:
    """Play the kernel: the chunks of a store that it touches until every chunk of the image has been written."""
    header, area, free, highest = 1, 257, 2, 1
    for number in range(1, chunks + 1):
        highest = max(highest, free)
        free += 1
        if number % 256 == 0:  # the area is full: the next one is cleared before this one is committed
            highest = max(highest, header + area * (number // 256))
        if free % area == header:  # that one is an area's own chunk
            free += 1
    return highest + 1


@pytest.mark.parametrize("chunks", [1, 2, 255, 256, 257, 511, 512, 513, 65536, 100_000])
def test_a_store_holds_every_chunk_of_its_image(chunks: int) -> None:
    store = layout(chunks * CHUNK, chunks * CHUNK).store
    assert slots_needed(chunks) * CHUNK <= store <= slots_needed(chunks) * CHUNK + 260 * CHUNK


def test_the_part_beyond_the_image_lies_behind_the_store() -> None:
    form = layout(300 << 20, 8 << 30)
    assert form.base + form.tail == 8 << 30
    assert form.tail_at >= form.store and form.tail_at % (1 << 20) == 0
    assert form.file == form.tail_at + form.tail
    assert layout(300 << 20, 300 << 20).tail == 0
    assert layout(300 << 20, 16 << 30).tail_at == form.tail_at, "a disk that grows keeps what it has"


@pytest.mark.parametrize(
    ("base", "size"),
    [(0, 512), (513, 1024), (512, 513), (1024, 512), (512, -512), ((256 << 30) + 512, 1 << 40), (512, 65 << 40)],
)
def test_sizes_that_no_disk_has(base: int, size: int) -> None:
    with pytest.raises(Refused):
        layout(base, size)


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "overlay", os.O_RDWR | os.O_CREAT)
    os.ftruncate(descriptor, 1 << 20)
    yield descriptor
    os.close(descriptor)


def test_a_new_file_becomes_a_store(overlay: int) -> None:
    snapshot.revive(overlay, "overlay")
    assert os.pread(overlay, 16, 0) == bytes(16)


def test_a_store_that_the_kernel_gave_up_is_valid_again_and_nothing_else_changes(overlay: int) -> None:
    os.pwrite(overlay, struct.pack("<4I", MAGIC, 0, 1, 8) + b"the rest", 0)
    snapshot.revive(overlay, "overlay")
    assert os.pread(overlay, 24, 0) == struct.pack("<4I", MAGIC, 1, 1, 8) + b"the rest"


@pytest.mark.parametrize(
    "header", [(1, 0, 0, 0), (MAGIC, 2, 1, 8), (MAGIC, 1, 2, 8), (MAGIC, 1, 1, 1 << 20), (MAGIC, 1, 1, 0), (0, 1, 1, 8)]
)
def test_a_store_of_another_form_is_refused(overlay: int, header: tuple[int, int, int, int]) -> None:
    os.pwrite(overlay, struct.pack("<4I", *header), 0)
    with pytest.raises(Refused, match="something else"):
        snapshot.revive(overlay, "overlay")
    assert os.pread(overlay, 16, 0) == struct.pack("<4I", *header)


# -- the gates of the files -------------------------------------------------------------------------------------------


class Scene:
    """A state directory with an image and an overlay of the right size, and what makes operations of them."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        (self.state / "vms").mkdir(parents=True)
        self.base, self.overlay = self.state / "base", self.state / "vms" / "overlay"
        self.sparse(self.base, 1 << 20)
        self.form: Layout = layout(1 << 20, 4 << 20)
        self.sparse(self.overlay, self.form.file)
        self.host = Host(owner_uid=os.geteuid(), owner_gid=os.getegid(), state=str(self.state))

    def sparse(self, path: Path, size: int) -> None:
        path.write_bytes(b"")
        os.truncate(path, size)

    def snapshot(self, **changed: object) -> Snapshot:
        values = {"vm_id": MACHINE, "base": str(self.base), "overlay": str(self.overlay), "size": 4 << 20, **changed}
        return Snapshot(**values)  # type: ignore[arg-type]

    def refused(self, operation: Operation, match: str | None = None, error: type[Exception] = Refused) -> None:
        with pytest.raises(error, match=match):
            operation.execute(self.host)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("machine", ["", "../x", "0123456789ABCDEF", MACHINE + "\n", MACHINE + "-base", "fc-rootfs-x"])
def test_names_outside_the_grammar(scene: Scene, machine: str) -> None:
    for operation in (scene.snapshot(vm_id=machine), RawDisk(vm_id=machine, file=str(scene.overlay))):
        with pytest.raises(Refused):
            operation.validate(scene.host)
        with pytest.raises(Refused):
            operation.undo(scene.host)
        assert operation.describe().isprintable()


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{state}", "{state}/../base", "{state}/./base", "{state}/base/", "base"]
)
def test_paths_outside_the_state(scene: Scene, path: str) -> None:
    named = path.replace("{state}", str(scene.state))
    for operation in (scene.snapshot(base=named), scene.snapshot(overlay=named), RawDisk(vm_id=MACHINE, file=named)):
        with pytest.raises(Refused):
            operation.validate(scene.host)


def test_a_link_in_the_place_of_a_file(scene: Scene, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    scene.sparse(outside, scene.form.file)
    scene.overlay.unlink()
    scene.overlay.symlink_to(outside)
    scene.refused(scene.snapshot())
    scene.refused(RawDisk(vm_id=MACHINE, file=str(scene.overlay)))
    (scene.state / "way").symlink_to(tmp_path)
    scene.refused(scene.snapshot(overlay=str(scene.state / "way" / "outside")))


def test_what_is_no_regular_file(scene: Scene) -> None:
    os.mkfifo(scene.state / "pipe")
    for name in ("pipe", "vms"):
        scene.refused(RawDisk(vm_id=MACHINE, file=str(scene.state / name)))
        scene.refused(scene.snapshot(base=str(scene.state / name)))
    scene.refused(scene.snapshot(overlay=str(scene.state / "missing")), "no such file", Failed)


def test_a_file_of_somebody_else(scene: Scene) -> None:
    scene.host = Host(owner_uid=os.geteuid() + 1, owner_gid=0, state=str(scene.state))
    scene.refused(scene.snapshot(), "belongs to uid")
    scene.refused(RawDisk(vm_id=MACHINE, file=str(scene.overlay)), "belongs to uid")


def test_an_overlay_that_is_its_own_base(scene: Scene) -> None:
    scene.refused(scene.snapshot(overlay=str(scene.base)), "two disks")
    os.link(scene.base, scene.state / "again")
    scene.refused(scene.snapshot(overlay=str(scene.state / "again")), "over itself")


def test_a_work_disk_has_the_gates_of_every_other_file(scene: Scene) -> None:
    work, link = scene.state / "vms" / "work.ext4", scene.state / "link"
    scene.sparse(work, 1 << 20)
    link.symlink_to(work)
    for operation in (scene.snapshot(), RawDisk(vm_id=MACHINE, file=str(scene.overlay))):
        for path in ("/etc/passwd", f"{scene.state}/../state/vms/work.ext4", str(scene.overlay)):
            changed = dataclasses.replace(operation, work=path)
            with pytest.raises(Refused):
                changed.validate(scene.host)
        scene.refused(dataclasses.replace(operation, work=str(link)))
        os.truncate(work, 513)
        scene.refused(dataclasses.replace(operation, work=str(work)), "not the size")
        os.truncate(work, 1 << 20)
    scene.refused(scene.snapshot(work=str(scene.base)), "two disks")
    scene.host = Host(owner_uid=os.geteuid() + 1, owner_gid=0, state=str(scene.state))
    scene.refused(scene.snapshot(work=str(work)), "belongs to uid")


def test_an_overlay_of_another_size(scene: Scene) -> None:
    for change in (-CHUNK, CHUNK):
        os.truncate(scene.overlay, scene.form.file + change)
        scene.refused(scene.snapshot(), "this disk needs")
    os.truncate(scene.overlay, 513)
    scene.refused(RawDisk(vm_id=MACHINE, file=str(scene.overlay)), "not the size")
