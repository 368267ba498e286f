"""What machines are given of the host: which files, with which modes, and what is refused."""

import asyncio
import os
import pwd
from collections.abc import Sequence
from pathlib import Path

import pytest

from banger import errors
from banger.config.defaults import Origin
from banger.config.settings import Config, build
from banger.config.sync import FileSync
from banger.disk.guest_file import Directory, GuestFile
from banger.kernels import initrd
from banger.paths import Paths
from banger.vms import given
from banger.vms.files import archive_of_start
from tests.unit.vms.test_boot import TODAY, image, machine

PATHS = Paths("/config", "/state", "/cache", "/run")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def settings(*entries: FileSync) -> Config:
    return build({"file_sync": entries, "git_identity": False}, {"file_sync": Origin("user", "/c.toml", 3)})


def gather(*entries: FileSync, paths: Paths = PATHS) -> given.Given:
    return asyncio.run(given.gather(settings(*entries), paths))


def places(files: Sequence[given.Laid]) -> list[tuple[str, str, int]]:
    return [(type(each).__name__, each.path, each.mode) for each in files]


def test_a_file_has_the_mode_that_is_asked_for(home: Path) -> None:
    (home / "x").write_text("content")
    (home / "x").chmod(0o644)
    found = gather(FileSync("~/x", "/root/x"), FileSync(str(home / "x"), "/root/.config/y", "755"))
    assert found.files == (
        GuestFile("/root/x", b"content", 0o600), GuestFile("/root/.config/y", b"content", 0o755),
    )  # fmt: skip
    assert (found.defaults, found.notices) == ((), ())


def test_a_directory_comes_whole_with_the_modes_of_its_own_and_no_link_is_followed(home: Path) -> None:
    (home / "d" / "empty").mkdir(parents=True)
    (home / "d" / "empty").chmod(0o2710)
    (home / "d" / "run").write_text("#!")
    (home / "d" / "run").chmod(0o4755)
    (home / "secret").mkdir()
    (home / "secret" / "key").write_text("secret")
    (home / "d" / "link").symlink_to("../secret")
    (home / "d" / "to-file").symlink_to(home / "secret" / "key")
    os.mkfifo(home / "d" / "pipe")
    (home / "d").chmod(0o750)
    found = gather(FileSync("~/d", "/root/d", "0777"))
    assert places(found.files) == [
        ("Directory", "/root/d", 0o750), ("Directory", "/root/d/empty", 0o710), ("GuestFile", "/root/d/link", 0o644),
        ("GuestFile", "/root/d/run", 0o755), ("GuestFile", "/root/d/to-file", 0o644),
    ]  # fmt: skip
    links = {each.path: each.target for each in found.files if isinstance(each, GuestFile) and each.target}
    assert links == {"/root/d/link": "../secret", "/root/d/to-file": str(home / "secret" / "key")}
    assert b"secret" not in b"".join(each.content for each in found.files if isinstance(each, GuestFile))
    assert found.notices == ("file_sync: /root/d/pipe is no file and no directory, and was left out",)


def test_what_is_not_there_is_told_and_left_out(home: Path) -> None:
    (home / "x").write_text("x")
    found = gather(FileSync("~/gone\u009b", "/root/gone"), FileSync("~/x", "/root/x"))
    assert places(found.files) == [("GuestFile", "/root/x", 0o600)]
    assert found.notices == ("file_sync: ~/gone\\x9b is not on this host, and was left out",)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("link", "name what it leads to"), ("pipe", "no file and no directory"), ("large", "more than 16 MiB")],
)
def test_what_cannot_be_given_is_named_with_its_entry(home: Path, kind: str, says: str) -> None:
    (home / "x").write_text("x")
    (home / "link").symlink_to("x")
    os.mkfifo(home / "pipe")
    with open(home / "large", "wb") as file:
        file.truncate(given.MOST_BYTES)
    with pytest.raises(errors.BadSetting, match=says) as caught:
        gather(FileSync("~/x", "/root/x"), FileSync(f"~/{kind}", "/root/y"))
    assert str(caught.value).startswith(f"/c.toml:3: file_sync[1]: ~/{kind}: ")


def test_two_entries_cannot_be_in_each_others_way(home: Path) -> None:
    (home / "d").mkdir()
    (home / "d" / "x").write_text("x")
    for other in ("/root/a/x", "/root/a/x/below"):
        with pytest.raises(errors.BadSetting, match=r"file_sync\[1\].*(twice|given as a file)"):
            gather(FileSync("~/d", "/root/a"), FileSync("~/d/x", other))


def test_on_an_installed_host_only_what_is_in_the_owners_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = home / "owner", home / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "x").write_text("mine")
    (outside / "x").write_text("not mine")
    (inside / "way").symlink_to(outside)
    monkeypatch.setattr(given, "_only_below", lambda paths: str(inside))
    assert places(gather(FileSync(str(inside / "x"), "/root/x")).files) == [("GuestFile", "/root/x", 0o600)]
    for path in (outside / "x", inside / "way" / "x", Path("/etc/hostname"), Path(f"{inside}-2/x")):
        with pytest.raises(errors.BadSetting, match="an installed banger takes no other files"):
            gather(FileSync(str(path), "/root/x"))


def test_the_lock_is_the_owners_home(home: Path) -> None:
    assert given._only_below(PATHS) == ""
    owner = Paths("/config", "/state", "/cache", "/run", owner=os.getuid())
    assert given._only_below(owner) == os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir)


def test_the_digest_is_of_all_that_a_machine_would_see(home: Path) -> None:
    (home / "x").write_text("one")
    first = gather(FileSync("~/x", "/root/x"))
    assert first.digest == gather(FileSync("~/x", "/root/x")).digest != ""
    assert gather().digest == ""
    others = [gather(FileSync("~/x", "/root/x", "0644")), gather(FileSync("~/x", "/root/y"))]
    (home / "x").write_text("two")
    others.append(gather(FileSync("~/x", "/root/x")))
    assert len({each.digest for each in (first, *others)}) == 4


@pytest.mark.parametrize("had", ["same", "other"])
def test_what_a_machine_has_had_is_not_brought_again(home: Path, had: str) -> None:
    (home / "x").write_text("the content")
    found = gather(FileSync("~/x", "/root/x"))._replace(defaults=(GuestFile(given.IDENTITY, b"[user]"),))
    record = machine(started=1.0, given=found.digest if had == "same" else "sha256:0", assets=TODAY.digest)
    archive = asyncio.run(archive_of_start(record, image(), "/no/file", TODAY, None, found))
    assert (b"banger/files/root/x\0" in archive) is (b"the content" in archive) is (had == "other")
    assert (b"banger/defaults/root/.gitconfig\0" in archive) is (had == "other")


def test_a_directory_of_an_archive_has_its_mode() -> None:
    files: list[given.Laid] = [GuestFile("/root/d/e/x"), Directory("/root/d", 0o700), Directory("/root/d/z", 0o710)]
    archive = initrd.machine_archive(files)
    for name, mode in (("root/d", 0o700), ("root/d/e", 0o755), ("root/d/z", 0o710)):
        at = archive.index(f"banger/files/{name}\0".encode())
        assert archive[at - 110 + 14 : at - 110 + 22] == f"{0o40000 | mode:08X}".encode()
