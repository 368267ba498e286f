"""Images made from plain directories: every fact of every file, the same bytes for the same tree, nothing else."""

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from banger import errors
from banger.disk import host_tree
from banger.disk.ext4.data import DataArea
from banger.disk.ext4.geometry import BLOCK, Geometry
from banger.oci.build import BuildReport, LayerSource, build_image
from tests.ext4_image import Ext4Image, File
from tests.guest_images import Tar

MIB = 1 << 20
NAMES = [b"new\nline", b"not-utf-8-\xff", b"n" * 255, b".wh.kept", b'"', b"a b", b"-rf", b"\x1b[2J"]


def build(directory: Path, output: Path, *top: LayerSource, without: tuple[str, ...] = ()) -> BuildReport:
    source = LayerSource(path=str(directory), name="directory", directory=True, without=without)
    return build_image([source, *top], str(output), size=64 * MIB, seed="")


def read(output: Path, tmp_path: Path) -> dict[bytes, File]:
    image = Ext4Image(output, tmp_path)
    image.check()
    return image.read()


def owner(path: Path) -> tuple[int, int]:
    """The owner that a file has in the image: the caller's own become root's."""
    found = path.lstat()
    return (
        0 if found.st_uid == os.geteuid() else found.st_uid,
        0 if found.st_gid == os.getegid() else found.st_gid,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with everything that may be in one."""
    top = tmp_path / "tree"
    (top / "etc").mkdir(parents=True)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_bytes(name)
    (top / "setuid").write_bytes(os.urandom(3 * MIB + 5))
    (top / "setuid").chmod(0o4755)
    (top / "etc/one").write_bytes(b"shared")
    os.link(top / "etc/one", top / "zwei")
    (top / "absolute").symlink_to("/etc/passwd")
    (top / "outside").symlink_to("../../../../etc/passwd")
    with (top / "sparse").open("wb") as file:
        file.seek(5 * MIB + 4096)
        file.write(b"here")
        file.truncate(300 * MIB)
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(top)
        listener.bind("socket")
        os.chdir(here)
    (top / "lost+found").mkdir()
    os.setxattr(top / "etc/one", "user.note", b"kept\0")
    for place, directories, files in os.walk(top):
        for each in (*directories, *files):
            os.utime(os.path.join(place, each), ns=(0, 1_600_000_000_123_456_789), follow_symlinks=False)
    os.utime(top, ns=(0, 1_500_000_000_000_000_001))
    return top


def test_every_fact_of_every_file(tree: Path, tmp_path: Path) -> None:
    report = build(tree, tmp_path / "image")
    found = read(tmp_path / "image", tmp_path)
    assert [found[name].data for name in NAMES] == NAMES
    assert report.skipped == 2 and {b"fifo", b"socket"}.isdisjoint(found)
    for name in ("setuid", "etc/one", "sparse"):
        file = found[name.encode()]
        assert file.data == (tree / name).read_bytes() and file.mtime == 1_600_000_000_123_456_789
        assert (file.uid, file.gid) == owner(tree / name)
    assert found[b"setuid"].mode == 0o4755 and found[b"sticky"].mode == 0o1777
    assert found[b"etc/one"].inode == found[b"zwei"].inode and found[b"zwei"].links == 2
    assert found[b"etc/one"].xattrs == {"user.note": b"kept\0"}
    assert found[b"absolute"].data == b"/etc/passwd" and found[b"outside"].data == b"../../../../etc/passwd"
    assert (found[b""].mode, found[b""].uid, found[b""].mtime) == (0o755, 0, 1_500_000_000_000_000_001)
    assert report.allocated < 8 * MIB


def test_the_same_tree_gives_the_same_bytes_wherever_its_holes_are(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", "--sparse=never", str(tree), str(copy)], check=True)
    one, two = build(tree, tmp_path / "one"), build(copy, tmp_path / "two")
    assert one.digest == two.digest and one.digest.startswith("sha256:")
    assert subprocess.run(["cmp", tmp_path / "one", tmp_path / "two"]).returncode == 0
    (copy / "etc/one").chmod(0o600)
    assert build(copy, tmp_path / "three").digest != one.digest


def test_layers_go_on_top(tree: Path, tmp_path: Path) -> None:
    layer = Tar().file("setuid", b"newer").file("etc/two", b"2").symlink("etc/link", "two")
    (tmp_path / "top.tar").write_bytes(layer.bytes())
    build(tree, tmp_path / "image", LayerSource(path=str(tmp_path / "top.tar"), name="top"))
    found = read(tmp_path / "image", tmp_path)
    assert found[b"setuid"].data == b"newer" and found[b"etc/two"].data == b"2" and found[b"zwei"].data == b"shared"


def test_what_is_to_be_left_out_is_empty(tree: Path, tmp_path: Path) -> None:
    report = build(tree, tmp_path / "image", without=(str(tree / "etc"), str(tmp_path / "absent")))
    found = read(tmp_path / "image", tmp_path)
    assert b"etc" in found and b"etc/one" not in found and report.skipped == 3


def test_a_tree_that_is_too_deep_and_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(600):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    with pytest.raises(errors.SourceUnavailable, match="too deep"):
        build(tmp_path / "d", tmp_path / "image")
    with pytest.raises(errors.SourceUnavailable, match=os.strerror(errno.ENOENT)):
        build(tmp_path / "absent", tmp_path / "image")
    assert not (tmp_path / "image").exists()
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    closed = tmp_path / "tree" / "etc"
    closed.mkdir(parents=True)
    (closed / "sha\ndow").write_bytes(b"")
    (closed / "sha\ndow").chmod(0)
    program = (
        "import sys; from banger.oci.build import *\n"
        "build_image([LayerSource(path=sys.argv[1], name='d', directory=True)], sys.argv[2], seed='')"
    )
    done = subprocess.run(  # root reads everything, a user of a namespace does not
        ["unshare", "-U", "--map-user=1000", "--map-group=1000", sys.executable, "-P", "-c", program,
         tmp_path / "tree", tmp_path / "image"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(each) for each in sys.path if each)},
    )  # fmt: skip
    assert "SourceUnavailable" in done.stderr.splitlines()[-1], done.stderr
    assert "etc/sha\\ndow: Permission denied" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "image").exists()


def test_a_full_disk_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    program = (
        "import sys; from banger.oci.build import *\n"
        "build_image([LayerSource(path=sys.argv[1], name='d', directory=True)], sys.argv[2], seed='')"
    )
    script = 'mount -t tmpfs -o size=1m none "$1" && "$2" -P -c "$3" "$4" "$1/image" 2>&1; ls -A "$1"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", tmp_path / "full", sys.executable, program, tree],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(each) for each in sys.path if each)},
    )  # fmt: skip
    assert "banger.errors.DiskFull" in done.stdout.splitlines()[-1], done.stdout


def test_who_replaces_directories_by_links_meanwhile_does_not_lead_outside(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_bytes(b"SECRET" * 1000)
    top = tmp_path / "tree"
    (top / "a" / "d").mkdir(parents=True)
    (top / "a" / "d" / "file").write_bytes(b"public")
    (top / "a" / "file").write_bytes(b"public")
    done = threading.Event()

    def replace() -> None:
        """Put links to the outside in the place of a directory and a file, and take them away again."""
        while not done.is_set():
            os.rename(top / "a" / "d", tmp_path / "kept")
            os.symlink(secret, top / "a" / "d")
            os.symlink(secret / "file", tmp_path / "link")
            os.rename(tmp_path / "link", top / "a" / "file")
            os.unlink(top / "a" / "d")
            os.rename(tmp_path / "kept", top / "a" / "d")
            (tmp_path / "new").write_bytes(b"public")
            os.rename(tmp_path / "new", top / "a" / "file")

    racer = threading.Thread(target=replace)
    racer.start()
    try:
        for _ in range(300):
            with tempfile.TemporaryFile() as output:
                with (
                    contextlib.closing(DataArea(output.fileno(), Geometry(None))) as area,
                    contextlib.suppress(errors.SourceUnavailable),
                ):
                    host_tree.read(str(top), area)
                output.seek(Geometry(None).head_blocks * BLOCK)
                assert b"SECRET" not in output.read()
    finally:
        done.set()
        racer.join()
    shutil.rmtree(top)
