"""Images built from layers, read back by e2fsprogs: every fact of every entry, and a clean bill of health."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from banger import errors
from banger.disk.ext4 import volume
from banger.oci.build import BuildReport, LayerSource, build_image
from banger.oci.builder import build_in_child
from tests.ext4_image import Ext4Image, File
from tests.guest_images import EPOCH, Tar, compress, debian_tar

SECOND = 1_000_000_000
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
ACL = bytes.fromhex("02000000010007000000000004000500ffffffff10000500ffffffff20000500ffffffff")


class Made:
    """An image of layers, built and checked."""

    def __init__(
        self,
        directory: Path,
        *layers: bytes,
        size: int | None = None,
        compression: str = "gzip",
        least: int = volume.DEFAULT_LEAST,
    ) -> None:
        self.directory = directory
        sources = []
        for number, layer in enumerate(layers):
            path = directory / f"layer{number}"
            path.write_bytes(compress(layer, compression))
            sources.append(LayerSource(path=str(path), name=f"layer-{number}"))
        self.path = directory / "image.ext4"
        self.report: BuildReport = build_image(sources, str(self.path), size=size, least=least, seed="sha256:0")
        self.image = Ext4Image(self.path, directory)
        self.image.check()

    def read(self) -> dict[bytes, File]:
        return self.image.read()


def fields(file: File) -> tuple[str, int, int, int, int]:
    return file.kind, file.mode, file.uid, file.gid, file.mtime


def test_types_owners_modes_and_times_are_those_of_the_layer(tmp_path: Path) -> None:
    layer = Tar()
    layer.directory("d", 0o1777, uid=1, gid=70000, mtime=EPOCH + 0.25)
    layer.file("d/setuid", b"x" * 5000, 0o4755, uid=4_000_000_000, gid=65534, pax_headers={"mtime": "1.123456789"})
    layer.file("d/none", b"", 0, pax_headers={"mtime": "-5.5"})
    layer.file("d/late", b"1", 0o600, pax_headers={"mtime": "4102444800"})
    layer.symlink("d/link", "setuid", uid=12, gid=13)
    found = Made(tmp_path, layer.bytes()).read()
    assert fields(found[b"d"]) == ("directory", 0o1777, 1, 70000, EPOCH * SECOND + SECOND // 4)
    assert fields(found[b"d/setuid"]) == ("regular", 0o4755, 4_000_000_000, 65534, 1_123_456_789)
    assert fields(found[b"d/none"]) == ("regular", 0, 0, 0, -5_500_000_000)
    assert found[b"d/late"].mtime == 4102444800 * SECOND
    assert fields(found[b"d/link"])[:4] == ("symlink", 0o777, 12, 13)
    assert found[b"d/setuid"].data == b"x" * 5000
    assert found[b"d/link"].data == b"setuid"


def test_the_root_belongs_to_root(tmp_path: Path) -> None:
    found = Made(tmp_path, Tar().directory("./", 0o700, uid=5, gid=6).file("./a").bytes()).read()
    assert fields(found[b""])[:4] == ("directory", 0o755, 0, 0)
    assert found[b""].mtime == EPOCH * SECOND


@pytest.mark.parametrize("length", [1, 59, 60, 61, 1000, 4000])
def test_symbolic_links_of_all_lengths(tmp_path: Path, length: int) -> None:
    target = "/" + "t" * (length - 1)
    assert Made(tmp_path, Tar().symlink("l", target).bytes()).read()[b"l"].data == target.encode()


def test_extended_attributes(tmp_path: Path) -> None:
    def records(**values: bytes) -> dict[str, str]:
        return {f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in values.items()}

    large = {f"user.{number}": bytes([65 + number]) * 300 for number in range(10)}
    layer = Tar()
    layer.file("small", b"1", pax_headers=records(**{"security.capability": CAPABILITY}))
    layer.file("large", b"2", pax_headers=records(**large))
    layer.file("same", b"3", pax_headers=records(**large))
    layer.file("acl", b"4", pax_headers=records(**{"system.posix_acl_access": ACL, "user.a": b"b"}))
    layer.directory("dir", pax_headers=records(**{"trusted.t": b"\x00\xff\n"}))
    layer.file("foreign", b"5", pax_headers=records(**{"com.apple.x": b"1"}))
    found = Made(tmp_path, layer.bytes()).read()
    assert found[b"small"].xattrs == {"security.capability": CAPABILITY}
    assert found[b"large"].xattrs == found[b"same"].xattrs == large
    shown = ACL.replace(b"\xff" * 4, bytes(4))  # debugfs gives 0 for the ids that are not stored
    assert found[b"acl"].xattrs == {"system.posix_acl_access": shown, "user.a": b"b"}
    assert found[b"dir"].xattrs == {"trusted.t": b"\x00\xff\n"}
    assert found[b"foreign"].xattrs == {}


def test_hard_links_within_and_across_layers(tmp_path: Path) -> None:
    lower = Tar().file("a", b"lower").symlink("s", "a").hardlink("b", "a").bytes()
    upper = Tar().hardlink("c", "a").hardlink("s2", "s").file("a", b"upper").bytes()
    found = Made(tmp_path, lower, upper).read()
    assert found[b"b"].inode == found[b"c"].inode
    assert found[b"b"].links == 2
    assert (found[b"b"].data, found[b"a"].data) == (b"lower", b"upper")
    assert found[b"s"].inode == found[b"s2"].inode


def test_a_file_hidden_under_one_name_lives_on_under_another(tmp_path: Path) -> None:
    lower = Tar().file("a", b"data" * 3000).hardlink("b", "a").bytes()
    found = Made(tmp_path, lower, Tar().add(".wh.a", tarfile.REGTYPE).bytes()).read()
    assert set(found) == {b"", b"b"}
    assert found[b"b"].data == b"data" * 3000


def test_whiteouts_act_on_older_layers_only(tmp_path: Path) -> None:
    lower = Tar().file("d/old", b"1").file("gone", b"2").file("e/x", b"3").bytes()
    upper = Tar().file("d/new", b"4").add("d/.wh..wh..opq", tarfile.REGTYPE).add(".wh.gone", tarfile.REGTYPE)
    upper.file("e/y", b"5").add(".wh.e", tarfile.REGTYPE).add(".wh..wh.aufs", tarfile.REGTYPE)
    found = Made(tmp_path, lower, upper.bytes()).read()
    assert set(found) == {b"", b"d", b"d/new", b"e", b"e/y"}


def test_replacement_between_types(tmp_path: Path) -> None:
    lower = Tar().directory("a").file("a/x", b"1").file("b", b"2").symlink("c", "a").directory("keep", 0o700)
    lower.file("keep/x", b"3")
    upper = Tar().file("a", b"4").directory("b").file("b/x", b"5").directory("c", 0o711).directory("keep", 0o750)
    found = Made(tmp_path, lower.bytes(), upper.bytes()).read()
    assert {name: file.kind for name, file in found.items()} == {
        b"": "directory", b"a": "regular", b"b": "directory", b"b/x": "regular", b"c": "directory",
        b"keep": "directory", b"keep/x": "regular",
    }  # fmt: skip
    assert found[b"keep"].mode == 0o750


def test_parents_lead_through_symbolic_links_inside_the_root(tmp_path: Path) -> None:
    lower = Tar().directory("usr/lib").symlink("lib", "usr/lib").symlink("abs", "/usr").symlink("up", "lib/../lib")
    lower.file("lib/first", b"0").bytes()
    upper = Tar().file("lib/a", b"1").file("abs/b", b"2").file("up/c", b"3").symlink("lib", "usr/lib").bytes()
    found = Made(tmp_path, lower.bytes(), upper).read()
    assert {b"usr/lib/a", b"usr/b", b"usr/lib/c", b"usr/lib/first"} < set(found)
    assert found[b"usr/lib/first"].data == b"0"


def test_sparse_files_in_all_forms(tmp_path: Path) -> None:
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        for at in range(0, 40):
            file.seek(at * 300_001)
            file.write(b"data%d" % at)
        file.truncate(20_000_000)
    expected = source.read_bytes()
    for form in ("gnu", "posix"):
        for version in ("0.0", "0.1", "1.0") if form == "posix" else ("1.0",):
            directory = tmp_path / f"{form}{version}"
            directory.mkdir()
            layer = subprocess.run(
                ["tar", "-C", tmp_path, "-cSf", "-", f"--format={form}", f"--sparse-version={version}", "sparse"],
                capture_output=True, check=True, timeout=60,
            ).stdout  # fmt: skip
            made = Made(directory, layer)
            assert made.read()[b"sparse"].data == expected, (form, version)
            assert made.report.used < 50_000_000


def test_zeros_become_holes_wherever_they_are_cut(tmp_path: Path) -> None:
    data = b"a" + bytes(3_000_000) + b"b" + bytes(70_000)
    layer = Tar().file("z", data).file("all", bytes(1_000_000)).bytes()
    images = []
    for compression in ("gzip", "zstd", "none"):
        directory = tmp_path / compression
        directory.mkdir()
        made = Made(directory, layer, compression=compression, size=64 << 20)
        assert made.read()[b"z"].data == data
        images.append(hashlib.sha256(made.path.read_bytes()).hexdigest())
    assert len(set(images)) == 1


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"new\nline", b"quote\"'", b"back\\slash", b"\xff\xfe", b"n" * 255, b"d" * 200 + b"/" + b"e" * 200]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size = 2
            tar.addfile(info, io.BytesIO(b"ok"))
    found = Made(tmp_path, buffer.getvalue()).read()
    assert {name for name, file in found.items() if file.kind == "regular"} == set(names)


def test_a_large_directory_is_indexed(tmp_path: Path) -> None:
    layer = Tar().directory("many")
    for number in range(5000):
        layer.file(f"many/a rather long name of a file é {number}")
    made = Made(tmp_path, layer.bytes())
    shown = made.image._ask(["htree_dump /many"])[0]
    assert b"Number of entries (count)" in shown
    assert len([name for name in made.image.read(xattr_values=False) if name.startswith(b"many/")]) == 5000


def test_devices_and_fifos_are_left_out_and_counted(tmp_path: Path) -> None:
    layer = Tar().add("null", tarfile.CHRTYPE, devmajor=1, devminor=3).add("disk", tarfile.BLKTYPE)
    layer.add("fifo", tarfile.FIFOTYPE).hardlink("null2", "null").file("file")
    made = Made(tmp_path, layer.bytes())
    assert set(made.read()) == {b"", b"file"}
    assert made.report.skipped == 4


def test_strip_and_prefix_move_a_tree(tmp_path: Path) -> None:
    layer = Tar().directory("./lib/modules/6.1").file("./lib/modules/6.1/a.ko", b"1").file("./boot/x", b"2")
    layer.hardlink("./lib/modules/6.1/b.ko", "./lib/modules/6.1/a.ko")
    (tmp_path / "data.tar").write_bytes(layer.bytes())
    source = LayerSource(path=str(tmp_path / "data.tar"), name="k", strip="lib/modules", prefix="m")
    build_image([source], str(tmp_path / "o"), seed="x")
    image = Ext4Image(tmp_path / "o", tmp_path)
    image.check()
    assert set(image.read()) == {b"", b"m", b"m/6.1", b"m/6.1/a.ko", b"m/6.1/b.ko"}


def test_without_a_size_there_is_room_beyond_the_content(tmp_path: Path) -> None:
    """Half as much again, also where the content would just fit into the least; and never less than that."""
    (tmp_path / "small").mkdir()
    small = Made(tmp_path / "small", Tar().file("a", b"1").bytes())
    assert small.report.size == 1 << 30 == small.path.stat().st_size
    layer = Tar().file("a", os.urandom(1 << 20) * 130).bytes()
    (tmp_path / "just").mkdir()
    just = Made(tmp_path / "just", layer, compression="none", size=150 << 20)
    made = Made(tmp_path, layer, compression="none", least=just.report.size)
    assert 1.5 * (130 << 20) <= made.report.size < 1.7 * (130 << 20) and made.report.size % (1 << 20) == 0
    header = made.image.header()
    assert int(header["Free blocks"]) * 4096 > made.report.size / 4


@pytest.mark.parametrize("mib", [64, 65, 127, 128, 129, 385, 1024, 10_000, 70_000])
def test_any_size_is_sound(tmp_path: Path, mib: int) -> None:
    made = Made(tmp_path, Tar().file("a", b"1").bytes(), size=mib << 20)
    assert made.report.size == mib << 20 == made.path.stat().st_size
    assert made.path.stat().st_blocks * 512 < 4 << 20
    assert " ".join(sorted(made.image.header()["Filesystem features"].split())) == (
        "64bit dir_index dir_nlink ext_attr extent extra_isize filetype flex_bg has_journal huge_file large_file "
        "metadata_csum resize_inode sparse_super"
    )


def test_it_grows(tmp_path: Path) -> None:
    made = Made(tmp_path, Tar().file("a", b"1").bytes(), size=128 << 20)
    os.truncate(made.path, 9 << 30)
    subprocess.run(["/sbin/resize2fs", made.path], check=True, capture_output=True, timeout=120)
    made.image.check()
    assert made.read()[b"a"].data == b"1"


def test_an_image_that_is_too_small_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(errors.ImageTooSmall, match="at least 64 MiB"):
        Made(tmp_path, Tar().bytes(), size=63 << 20)
    layer = Tar().file("a", os.urandom(100 << 20)).bytes()
    with pytest.raises(errors.ImageTooSmall) as caught:
        Made(tmp_path, layer, size=64 << 20, compression="none")
    assert not (tmp_path / "image.ext4").exists()
    needed = int(str(caught.value.data["needed"]).split()[0])
    assert Made(tmp_path, layer, size=needed << 20, compression="none").report.size == needed << 20


def test_the_same_layers_give_the_same_bytes(tmp_path: Path) -> None:
    layer = Tar().file("a", os.urandom(100_000)).directory("d").file("d/b", b"2").bytes()
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        digests.add(hashlib.sha256(Made(tmp_path / name, layer, size=64 << 20).path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "image.ext4").write_bytes(b"mine")
    with pytest.raises(errors.AlreadyExists):
        Made(tmp_path, Tar().bytes())
    assert (tmp_path / "image.ext4").read_bytes() == b"mine"


def test_the_init_is_found(tmp_path: Path) -> None:
    systemd = Tar().file("usr/lib/systemd/systemd", b"ELF", 0o755).symlink("lib", "usr/lib").symlink("sbin", "usr/sbin")
    linked = systemd.symlink("usr/sbin/init", "/lib/systemd/systemd").bytes()
    cases = {
        "systemd": (linked, "/sbin/init"),
        "bare": (Tar().file("lib/systemd/systemd", b"ELF", 0o755).bytes(), "/lib/systemd/systemd"),
        "busybox": (Tar().file("bin/busybox", b"ELF", 0o755).symlink("sbin/init", "../bin/busybox").bytes(), None),
        "hard": (Tar().file("bin/busybox", b"E", 0o755).hardlink("sbin/init", "bin/busybox").bytes(), None),
        "sysv": (Tar().file("sbin/init", b"ELF", 0o755).bytes(), "/sbin/init"),
        "tini": (Tar().file("usr/bin/tini", b"E", 0o755).symlink("sbin/init", "/usr/bin/tini").bytes(), None),
        "dangling": (Tar().symlink("sbin/init", "/nowhere").bytes(), None),
        "loop": (Tar().symlink("sbin/init", "init").bytes(), None),
        "none": (Tar().file("hello", b"ELF", 0o755).bytes(), None),
    }
    for name, (layer, expected) in cases.items():
        (tmp_path / name).mkdir()
        assert Made(tmp_path / name, layer).report.init == expected, name


def test_a_real_debian(tmp_path: Path) -> None:
    layer = debian_tar().read_bytes()
    made = Made(tmp_path, layer, compression="none")
    assert (made.report.init, made.report.distribution, made.report.shell) == (None, "debian-12", True)
    found = made.read()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = [member for member in tar if not (member.isdev() or member.name == ".")]
        for member in members:
            file = found[os.fsencode(member.name.removeprefix("./"))]
            target = tar.getmember(member.linkname) if member.islnk() else member
            assert (file.mode, file.uid, file.gid) == (target.mode & 0o7777, target.uid, target.gid), member.name
            if target.isreg():
                content = tar.extractfile(target)
                assert content is not None
                assert file.data == content.read(), member.name
            elif target.issym():
                assert file.data == os.fsencode(target.linkname)
    assert len(found) == len(members) + 1


def test_a_child_builds_the_same_and_reports(tmp_path: Path) -> None:
    layer = Tar().file("a", os.urandom(9_000_000)).bytes()
    made = Made(tmp_path, layer, size=64 << 20)
    told: list[str] = []
    report = asyncio.run(
        build_in_child(
            [LayerSource(path=str(tmp_path / "layer0"), name="layer-0")],
            str(tmp_path / "child.ext4"),
            size=64 << 20,
            seed="sha256:0",
            progress=lambda stage, done, total: told.append(stage),
        )
    )
    assert (tmp_path / "child.ext4").read_bytes() == made.path.read_bytes()
    assert report.uuid == made.report.uuid
    assert {"read", "write"} <= set(told)


def test_a_childs_error_arrives_as_its_class(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(Tar().file("../x").bytes())
    with pytest.raises(errors.UnsafeLayer, match=r"layer evil: \.\./x: a name with '\.\.'"):
        asyncio.run(
            build_in_child([LayerSource(path=str(tmp_path / "bad"), name="evil")], str(tmp_path / "o"), seed="s")
        )
    assert not (tmp_path / "o").exists()


def test_cancelling_kills_the_child_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(Tar().file("a", os.urandom(64 << 20)).bytes())
    output = tmp_path / "o"

    async def cancelled() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(
            build_in_child(
                [LayerSource(path=str(tmp_path / "layer"), name="l")],
                str(output),
                seed="s",
                progress=lambda *told: started.set(),
            )
        )
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not output.exists()


def test_a_full_disk_is_named_and_left_clean(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(Tar().file("a", os.urandom(8 << 20)).bytes())
    script = 'mount -t tmpfs -o size=4m none "$1" && cd / && printf %s "$2" | "$3" -P -m banger.oci.child; ls -A "$1"'
    full = tmp_path / "full"
    full.mkdir()
    request = f'{{"layers":[{{"path":"{tmp_path}/layer","name":"l"}}],"output":"{full}/image","seed":"s"}}'
    modules = os.pathsep.join(os.path.abspath(each) for each in sys.path if each)
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(full), request, sys.executable],
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": modules},
    )  # fmt: skip
    assert '"code":"disk_full"' in done.stdout.splitlines()[-1], done
