"""Offline edits: each does what it says, each silent failure of debugfs is an error, and e2fsck finds nothing after."""

import asyncio
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.disk import edit, ownership
from banger.disk.guest_file import Directory, Edit, GuestFile, Owner, Remove
from banger.oci.build import LayerSource, build_image
from tests.ext4_image import Ext4Image, File
from tests.guest_images import Tar

LARGE = {f"SCHILY.xattr.user.{number}": "v" * 300 for number in range(8)}


class Scene:
    """An image of ours with what an edit may meet, and a look at it when the test is over."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = str(directory / "image.ext4")
        layer = Tar()
        layer.directory("etc").file("etc/hosts", b"old").file("etc/shared", b"both").directory("usr/lib")
        layer.symlink("lib", "usr/lib").symlink("etc/link", "hosts").symlink("up", "/etc/hosts")
        layer.file("etc/heavy", b"1", pax_headers=LARGE).file(
            "etc/light", b"1", pax_headers={"SCHILY.xattr.user.a": "b"}
        )
        layer.directory("many")
        for number in range(1500):
            layer.file(f"many/a-file-whose-name-takes-some-room-{number:05}", b"")
        (directory / "layer.tar").write_bytes(layer.bytes())
        source = LayerSource(path=str(directory / "layer.tar"), name="layer")
        build_image([source], self.path, size=64 << 20, seed="edit")

    def apply(self, *edits: Edit) -> None:
        asyncio.run(edit.apply(self.path, edits, scratch=str(self.directory)))

    def read(self) -> dict[bytes, File]:
        return Ext4Image(self.path, self.directory).read()

    def refused(self, match: str, *edits: Edit, error: type[errors.BangerError] = errors.UnusableDisk) -> None:
        with pytest.raises(error, match=match):
            self.apply(*edits)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    Ext4Image(made.path, tmp_path).check()
    assert not list(tmp_path.glob("banger-edit-*"))


def facts(file: File) -> tuple[str, int, int, int, bytes]:
    return file.kind, file.mode, file.uid, file.gid, file.data


def test_files_links_and_directories_with_owner_and_mode(scene: Scene, tmp_path: Path) -> None:
    host = tmp_path / 'a "host" file'
    host.write_bytes(b"h" * 10_000)
    scene.apply(
        GuestFile("/opt/agent/deep/agent", source=str(host), mode=0o4755, uid=4_000_000_000, gid=70_000),
        GuestFile("/etc/hosts", b"new\n"),
        GuestFile("/etc/link", target="/opt/agent with blank"),
        GuestFile("/long", target="/" + "t" * 4000),
        GuestFile('/with blank/a "quoted" \\ #name ', b"", 0),
        GuestFile("/lib/systemd/unit", b"[Unit]\n"),
        GuestFile("/größe", b"utf-8"),
        Directory("/root/.ssh", 0o700, 5, 6),
        Directory("/etc", 0o1777, 7, 8),
        Directory("/", 0o750, 0, 9),
        Owner("/etc/shared", 12, 13, 0o600),
        Owner("/up", 14, 15),
        Remove("/etc/light"),
        Remove("/absent/file"),
    )
    found = scene.read()
    assert facts(found[b"opt/agent/deep/agent"]) == ("regular", 0o4755, 4_000_000_000, 70_000, b"h" * 10_000)
    assert facts(found[b"opt/agent"])[:4] == facts(found[b"root"])[:4] == ("directory", 0o755, 0, 0)
    assert facts(found[b"etc/hosts"]) == ("regular", 0o644, 0, 0, b"new\n")
    assert facts(found[b"etc/link"]) == ("symlink", 0o777, 0, 0, b"/opt/agent with blank")
    assert found[b"long"].data == b"/" + b"t" * 4000
    assert facts(found[b'with blank/a "quoted" \\ #name ']) == ("regular", 0, 0, 0, b"")
    assert found[b"usr/lib/systemd/unit"].data == b"[Unit]\n"
    assert found["größe".encode()].data == b"utf-8"
    assert facts(found[b"root/.ssh"])[:4] == ("directory", 0o700, 5, 6)
    assert facts(found[b"etc"])[:4] == ("directory", 0o1777, 7, 8)
    assert facts(found[b"etc/shared"]) == ("regular", 0o600, 12, 13, b"both")
    assert facts(found[b"up"])[:4] == ("symlink", 0o777, 14, 15)
    assert b"etc/light" not in found
    root = asyncio.run(edit.stat(scene.path, "/"))
    assert root is not None and (root.mode, root.gid) == (0o040750, 9)


def test_the_same_edit_of_the_same_bytes_gives_the_same_bytes(tmp_path: Path) -> None:
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        scene = Scene(tmp_path / name)
        scene.apply(GuestFile("/a/b", b"x" * 9000), GuestFile("/etc/hosts", b"y"), GuestFile("/l", target="x"))
        results.append(Path(scene.path).read_bytes())
    assert results[0] == results[1]


def test_a_file_with_holes_keeps_its_bytes(scene: Scene, tmp_path: Path) -> None:
    sparse, zeros = tmp_path / "sparse", tmp_path / "zeros"
    with sparse.open("wb") as file:
        file.seek(9 << 20)
        file.write(b"abc")
        file.truncate(12 << 20)
    zeros.write_bytes(bytes(3 << 20) + b"end")
    scene.apply(GuestFile("/sparse", source=str(sparse)), GuestFile("/zeros", source=str(zeros)))
    found = scene.read()
    assert found[b"sparse"].data == sparse.read_bytes() and found[b"zeros"].data == zeros.read_bytes()


def test_names_enter_an_indexed_directory(scene: Scene) -> None:
    scene.apply(*[GuestFile(f"/many/another-name-that-takes-some-room-too-{number}", b"") for number in range(300)])
    assert len(asyncio.run(edit.listing(scene.path, "/many"))) == 1800


NAMES = [
    "relative", "", "/", "/a/../b", "/a//b", "/a/", "/./a", "/new\nline", "/carriage\rreturn", "/tab\t",
    "/escape\x1b[2J", "/nul\0", "/not-utf-8-\udcff", "/" + "n" * 256, "/" + "/".join(["d" * 200] * 25),
]  # fmt: skip


@pytest.mark.parametrize("path", NAMES)
def test_a_name_that_debugfs_would_misread_is_refused(tmp_path: Path, path: str) -> None:
    image = tmp_path / "none"
    for each in (GuestFile(path), GuestFile(path, target="x"), Remove(path)):
        with pytest.raises(errors.UsageError):
            asyncio.run(edit.apply(str(image), [each], scratch=str(tmp_path)))


@pytest.mark.parametrize("target", ["", "new\nline", "\udcff", "t" * 4096])
def test_a_target_that_debugfs_would_misread_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(errors.UsageError):
        asyncio.run(edit.apply(str(tmp_path / "none"), [GuestFile("/link", target=target)], scratch=str(tmp_path)))


def test_a_line_that_debugfs_would_cut_is_refused(scene: Scene) -> None:
    path = "/" + "/".join(["d" * 200] * 20)
    scene.refused("too long for debugfs", GuestFile(path, target="t" * 4095), error=errors.UsageError)


def test_a_path_given_twice_is_refused(scene: Scene) -> None:
    scene.refused("given twice", GuestFile("/a"), GuestFile("/a", b"2"), error=errors.UsageError)


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("is a directory", GuestFile("/etc", b"")),
        ("is a directory", GuestFile("/etc", target="x")),
        ("no directory", Directory("/etc/hosts")),
        ("not a directory", GuestFile("/etc/hosts/below")),
        ("not empty", Remove("/etc")),
        ("would not free", GuestFile("/etc/heavy", b"2")),
        ("would not free", Remove("/etc/heavy")),
    ],
)
def test_what_the_file_system_does_not_allow_changes_nothing(scene: Scene, match: str, change: Edit) -> None:
    before = Path(scene.path).read_bytes()
    scene.refused(match, change)
    if "not empty" not in match:
        assert Path(scene.path).read_bytes() == before


def test_an_owner_of_nothing_and_a_source_that_is_none_are_named(scene: Scene) -> None:
    scene.refused("/absent", Owner("/absent", 0, 0), error=errors.NoSuchPath)
    scene.refused("/no/such", GuestFile("/a", source="/no/such"), error=errors.NoSuchPath)
    scene.refused("/dev/zero", GuestFile("/a", source="/dev/zero"), error=errors.NoSuchPath)


def test_a_full_file_system_is_an_error_though_the_file_has_its_size(scene: Scene, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (70 << 20))
    scene.refused("no room left", GuestFile("/large", source=str(large)))
    scene.refused("no room left", Directory("/etc/directory"))


def test_a_file_system_without_inodes_is_an_error(tmp_path: Path) -> None:
    image = tmp_path / "few"
    made(image, "-N", "16")
    files = [GuestFile(f"/f{number}") for number in range(80)]
    with pytest.raises(errors.UnusableDisk, match="no room left"):
        asyncio.run(edit.apply(str(image), files, scratch=str(tmp_path)))
    Ext4Image(image, tmp_path).check()


def test_a_full_host_disk_is_an_error(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    (tmp_path / "mount").mkdir()
    program = (
        "import asyncio, sys; from banger.disk import edit; from banger.disk.guest_file import GuestFile\n"
        "asyncio.run(edit.apply(sys.argv[1], [GuestFile('/a', source=sys.argv[2])], scratch=sys.argv[3]))"
    )
    (tmp_path / "source").write_bytes(os.urandom(8 << 20))
    script = (
        'mount -t tmpfs -o size=6m none "$1" && cp --sparse=always "$2" "$1/image" && '
        '"$3" -P -c "$4" "$1/image" "$5" "$6" 2>&1'
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path / "mount"), scene.path, sys.executable, program,
         str(tmp_path / "source"), str(tmp_path)],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(each) for each in sys.path if each)},
    )  # fmt: skip
    assert done.returncode != 0
    assert any(each in done.stdout.splitlines()[-1] for each in ("DiskFull", "UnusableDisk")), done.stdout


def made(path: Path, *options: str, size: int = 16 << 20) -> None:
    path.write_bytes(b"")
    os.truncate(path, size)
    mke2fs = next(each for each in ("/usr/sbin/mke2fs", "/sbin/mke2fs") if os.path.exists(each))
    subprocess.run([mke2fs, "-q", "-F", "-t", "ext4", *options, str(path)], check=True, capture_output=True)


def poke(path: Path, at: int, form: str, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(1024 + at)
        file.write(struct.pack(form, value))


UNFIT: list[tuple[str, Callable[[Path], object]]] = [
    ("not an ext4", lambda path: path.write_bytes(bytes(4096))),
    ("not an ext4", lambda path: path.write_bytes(b"")),
    ("shorter than the file system", lambda path: os.truncate(path, 8 << 20)),
    ("shorter than the file system", lambda path: poke(path, 0x18, "<I", 60)),
    ("not unmounted", lambda path: poke(path, 0x3A, "<H", 0)),
    ("not unmounted", lambda path: poke(path, 0x60, "<I", 0x2C6)),
    ("damaged", lambda path: poke(path, 0x3A, "<H", 3)),
    ("encryption", lambda path: poke(path, 0x60, "<I", 0x102C2)),
    ("debugfs", lambda path: poke(path, 0x60, "<I", 0x800002C2)),
    ("Checksum errors", lambda path: poke(path, 0x68, "<Q", 1)),
]


@pytest.mark.parametrize(("match", "damage"), UNFIT)
def test_a_file_system_that_is_not_fit_is_neither_read_nor_edited(
    tmp_path: Path, match: str, damage: Callable[[Path], object]
) -> None:
    image = tmp_path / "image"
    made(image)
    damage(image)
    before = image.read_bytes()
    works: list[Callable[[], Coroutine[None, None, object]]] = [
        lambda: edit.apply(str(image), [GuestFile("/a")], scratch=str(tmp_path)),
        lambda: edit.read(str(image), "/a", 1),
        lambda: edit.listing(str(image), "/"),
    ]
    for work in works:
        with pytest.raises(errors.UnusableDisk, match=match):
            asyncio.run(work())
    assert image.read_bytes() == before


def test_a_file_system_in_use_is_not_edited(scene: Scene) -> None:
    with open(scene.path, "r+b") as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 100, 1, 0))  # as QEMU does
        scene.refused("a machine is using it", GuestFile("/a"))
    with open(scene.path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        scene.refused("another edit", GuestFile("/a"))
    scene.apply(GuestFile("/a"))


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.NoSuchPath):
        asyncio.run(edit.apply(str(tmp_path / "absent"), [GuestFile("/a")], scratch=str(tmp_path)))
    for path in (str(tmp_path), "/dev/null"):
        with pytest.raises(errors.UnusableDisk):
            asyncio.run(edit.apply(path, [GuestFile("/a")], scratch=str(tmp_path)))
    odd = tmp_path / "image?offset=1024"
    made(odd)
    with pytest.raises(errors.UnusableDisk, match="question mark"):
        asyncio.run(edit.listing(str(odd), "/"))


def test_reading(scene: Scene) -> None:
    def read(path: str, limit: int = 1 << 20) -> bytes:
        return asyncio.run(edit.read(scene.path, path, limit))

    scene.apply(
        GuestFile("/relative", target="etc/../etc/link"),
        GuestFile("/through", target="/" + "./" * 40 + "up"),
        GuestFile("/binary", bytes(range(256)) * 40 + b"debugfs: ls\n"),
        GuestFile("/loop", target="/loop"),
        GuestFile("/dangling", target="/nowhere"),
        GuestFile("/top", target="/"),
    )
    assert read("/etc/hosts") == read("/relative") == read("/through") == b"old"
    assert read("/binary") == bytes(range(256)) * 40 + b"debugfs: ls\n"
    assert {each.name for each in asyncio.run(edit.listing(scene.path, "/top"))} >= {b"etc", b"lib", b"loop"}
    assert [each.name for each in asyncio.run(edit.listing(scene.path, "/lib"))] == []
    hosts = next(each for each in asyncio.run(edit.listing(scene.path, "/etc")) if each.name == b"hosts")
    assert (hosts.mode, hosts.uid, hosts.gid, hosts.size) == (0o100644, 0, 0, 3)
    assert asyncio.run(edit.stat(scene.path, "/absent")) is None
    with pytest.raises(errors.UnusableDisk, match="10252 bytes"):
        read("/binary", 10_000)
    for path in ("/absent", "/dangling", "/etc"):
        with pytest.raises(errors.NoSuchPath):
            read(path)
    with pytest.raises(errors.NoSuchPath):
        asyncio.run(edit.listing(scene.path, "/etc/hosts"))
    with pytest.raises(errors.UnusableDisk, match="too many symbolic links"):
        read("/loop")


def test_the_ownership_pass_gives_a_tree_to_its_owners(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    owners = [Owner("/", 0, 3, 0o750)]
    for number in range(40):
        folder = tree / f"directory {number}"
        folder.mkdir(parents=True)
        owners.append(Owner(f"/directory {number}", number, 0, 0o711))
        for other in range(25):
            (folder / f"file-{other}").write_bytes(b"")
            owners.append(Owner(f"/directory {number}/file-{other}", 4_000_000_000, other, 0o4750))
    (tree / "link").symlink_to("/etc/passwd")
    owners.append(Owner("/link", 9, 9))
    image = tmp_path / "image"
    made(image, "-d", str(tree))
    asyncio.run(ownership.apply(str(image), owners))
    found = Ext4Image(image, tmp_path).read()
    Ext4Image(image, tmp_path).check()
    for each in owners[1:]:
        file = found[each.path[1:].encode()]
        assert (file.uid, file.gid) == (each.uid, each.gid) and each.mode in (None, file.mode), each
    assert facts(found[b"link"])[:4] == ("symlink", 0o777, 9, 9)
    root = asyncio.run(edit.stat(str(image), "/"))
    assert root is not None and (root.mode, root.gid) == (0o040750, 3)
    before = image.read_bytes()
    asyncio.run(ownership.apply(str(image), owners))
    assert image.read_bytes() == before
    with pytest.raises(errors.NoSuchPath):
        asyncio.run(ownership.apply(str(image), [Owner("/absent", 0, 0)]))


FORMS = [
    ("-O", "^metadata_csum,uninit_bg"), ("-O", "metadata_csum,64bit"), ("-O", "metadata_csum_seed,orphan_file"),
    ("-O", "^has_journal,^extents,^64bit"), ("-b", "1024"), ("-I", "128", "-O", "^metadata_csum"),
    ("-O", "^dir_index"), ("-O", "bigalloc,^resize_inode"), ("-O", "ea_inode,project"),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_file_systems_of_other_makers(tmp_path: Path, form: tuple[str, ...]) -> None:
    image = tmp_path / "image"
    made(image, *form, size=32 << 20)
    files = [GuestFile(f"/many/a-name-that-takes-room-{number:04}", b"x" * number) for number in range(200)]
    asyncio.run(
        edit.apply(
            str(image),
            [*files, GuestFile("/link", target="t" * 100), Directory("/d", 0o700, 1, 2)],
            scratch=str(tmp_path),
        )
    )
    again = [GuestFile(each.path, b"again", uid=3) for each in files[::2]]
    asyncio.run(edit.apply(str(image), [*again, Remove("/link"), Remove("/d"), GuestFile("/f")], scratch=str(tmp_path)))
    Ext4Image(image, tmp_path).check()
    assert {each.name for each in asyncio.run(edit.listing(str(image), "/"))} == {b"lost+found", b"many", b"f"}
    assert len(asyncio.run(edit.listing(str(image), "/many"))) == 200
    for each in (again[0], again[-1]):
        assert asyncio.run(edit.read(str(image), each.path, 1 << 20)) == b"again"
    for each in (files[1], files[77], files[199]):
        assert asyncio.run(edit.read(str(image), each.path, 1 << 20)) == each.content, each.path


def test_features_that_debugfs_gets_wrong_are_refused(tmp_path: Path) -> None:
    inline, quota = tmp_path / "inline", tmp_path / "quota"
    made(inline, "-O", "inline_data")  # it reads 60 bytes of a file of 5
    made(quota, "-O", "quota")
    for image, match in ((inline, "inline data"), (quota, "quotas")):
        with pytest.raises(errors.UnusableDisk, match=match):
            asyncio.run(edit.apply(str(image), [GuestFile("/a")], scratch=str(tmp_path)))
    with pytest.raises(errors.UnusableDisk, match="inline data"):
        asyncio.run(edit.listing(str(inline), "/"))
    assert [each.name for each in asyncio.run(edit.listing(str(quota), "/"))] == [b"lost+found"]


def test_a_damaged_file_system_is_found_by_the_check(scene: Scene, tmp_path: Path) -> None:
    asyncio.run(edit.check(scene.path))
    copy = tmp_path / "copy"
    copy.write_bytes(Path(scene.path).read_bytes())
    with copy.open("r+b") as file:
        file.seek(4096 * 40)
        file.write(os.urandom(4096 * 2000))
    with pytest.raises(errors.UnusableDisk):
        asyncio.run(edit.check(str(copy)))
