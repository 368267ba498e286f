"""What a path below the owner's directory may lead to."""

import fcntl
import os
import select
import signal
import socket
import stat
from pathlib import Path

import pytest

from banger.helper import walk
from banger.helper.operation import Failed, Refused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "state"
    (root / "vms" / "one").mkdir(parents=True)
    (root / "vms" / "one" / "disk").write_text("disk")
    return root


def read(root: Path, path: str, flags: int = os.O_RDONLY, owner: int | None = None) -> bytes:
    descriptor = walk.open_below(str(root), path, flags, owner=owner)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_a_file_and_a_directory(root: Path) -> None:
    assert read(root, f"{root}/vms/one/disk", owner=os.getuid()) == b"disk"
    descriptor = walk.open_below(str(root), f"{root}/vms/one", os.O_RDONLY | os.O_DIRECTORY)
    assert os.listdir(descriptor) == ["disk"]
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_it_is_opened_as_asked(root: Path) -> None:
    for flags, mode in ((os.O_RDONLY, os.O_RDONLY), (os.O_RDWR, os.O_RDWR), (os.O_WRONLY | os.O_TRUNC, os.O_WRONLY)):
        descriptor = walk.open_below(str(root), f"{root}/vms/one/disk", flags)
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == mode
        assert os.get_blocking(descriptor)
        os.close(descriptor)
    assert (root / "vms" / "one" / "disk").read_text() == ""


def test_held_only(root: Path) -> None:
    descriptor = walk.open_below(str(root), f"{root}/vms/one/disk", os.O_PATH)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(descriptor, 1)
    os.close(descriptor)


def test_names_may_be_odd(root: Path) -> None:
    for name in ("new\nline", "sp ace", "quo'te", "ümlaut", "-rf", "…" * 85):
        (root / name).write_text("odd")
        assert read(root, f"{root}/{name}") == b"odd"


@pytest.mark.parametrize(
    "path",
    [
        "{root}",
        "{root}/",
        "{root}/vms/",
        "{root}//vms",
        "{root}/./vms",
        "{root}/vms/..",
        "{root}/vms/../vms/one/disk",
        "{root}/../state/vms/one/disk",
        "{root}-other/file",
        "vms/one/disk",
        "/etc/passwd",
        "",
        "{root}/vms/one/disk\0",
        "{root}/\0",
        "{root}/\ud800",
        "{root}/" + "a/" * 2100 + "a",
    ],
)
def test_what_is_no_clean_path_below(root: Path, path: str) -> None:
    with pytest.raises(Refused) as refused:
        read(root, path.replace("{root}", str(root)))
    assert str(refused.value).isprintable()


def test_links_on_the_way_and_at_the_end(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "vms" / "disk").symlink_to(tmp_path / "outside" / "secret")
    (root / "inside").symlink_to("vms")
    for name in ("link/secret", "link", "vms/disk", "inside/one/disk", "inside"):
        for flags in (os.O_RDONLY, os.O_PATH, os.O_RDWR):
            with pytest.raises(Refused, match=r"symbolic link|no directory|neither a file"):
                read(root, f"{root}/{name}", flags)


def test_what_is_neither_file_nor_directory_is_not_even_opened(root: Path) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        for name in ("fifo", "socket"):
            with pytest.raises(Refused, match="neither a file nor a directory"):
                read(root, f"{root}/{name}")
    reader = os.open(root / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(Refused):
        read(root, f"{root}/fifo", os.O_WRONLY)
    poll = select.poll()
    poll.register(reader)
    assert not poll.poll(0), "POLLHUP would tell that there has been a writer"
    os.close(reader)


def test_what_is_missing_and_what_is_no_directory(root: Path) -> None:
    with pytest.raises(Failed, match="no such file"):
        read(root, f"{root}/vms/two/disk")
    with pytest.raises(Refused, match="no directory"):
        read(root, f"{root}/vms/one/disk/more")
    with pytest.raises(Refused, match="no directory"):
        read(root, f"{root}/vms/one/disk", os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(Refused, match="too long"):
        read(root, f"{root}/{'x' * 256}")


def test_somebody_elses_file(root: Path) -> None:
    with pytest.raises(Refused, match=f"belongs to uid {os.getuid()}"):
        read(root, f"{root}/vms/one/disk", owner=os.getuid() + 1)


def test_nothing_is_created(root: Path) -> None:
    for flags in (os.O_CREAT, os.O_TMPFILE, os.O_CREAT | os.O_EXCL):
        with pytest.raises(ValueError, match="creates nothing"):
            walk.open_below(str(root), f"{root}/new", os.O_RDWR | flags)
    assert not (root / "new").exists()


def test_another_mount_is_noticed_by_its_number() -> None:
    """Nothing can be mounted without root; but every host has some mount within another."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    place = next(each for each in places if each.count("/") > 1)
    with pytest.raises(Refused, match="another mount"):
        walk.hold_below(os.path.dirname(place), place)


def test_a_lease_does_not_hold_us_up(root: Path) -> None:
    holder = os.open(root / "vms" / "one" / "disk", os.O_RDWR)
    fcntl.fcntl(holder, fcntl.F_SETSIG, 0)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with pytest.raises(Failed, match="lease") as failed:
            read(root, f"{root}/vms/one/disk")
        assert failed.value.busy
    finally:
        os.close(holder)
        signal.signal(signal.SIGIO, before)


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("vms/one/disk", "vms/two", "vms/one/disk/more"):
        for flags in (os.O_PATH, os.O_RDONLY):
            try:
                os.close(walk.open_below(str(root), f"{root}/{path}", flags))
            except (Refused, Failed):
                continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_trusted_files_are_roots_all_the_way() -> None:
    descriptor = walk.open_trusted("/bin/sh", os.O_PATH)
    assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    os.close(descriptor)
    for path in ("/tmp", "/usr/bin", "/dev/null"):
        with pytest.raises(Refused):
            walk.open_trusted(path)
    with pytest.raises(Failed, match="no such file"):
        walk.open_trusted("/nonexistent")


def test_files_of_others_are_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh")
    with pytest.raises(Refused, match="somebody other than root can write"):
        walk.open_trusted(str(tmp_path / "program"))
