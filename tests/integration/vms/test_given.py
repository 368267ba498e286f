"""What machines are given of the host: the git identity as git itself tells it, and what is on record about it."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from banger import errors
from banger.api.vm import StopVm
from banger.config.sync import FileSync
from banger.vms import given
from tests.installation import Daemon, Installation, scenario

IDENTITY = '[user]\n\tname = Ada \\"L\\" \\\\ Lovelace\n\temail = old@example.org\n\tsigningKey = SECRET\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "owner"
    found.mkdir()
    monkeypatch.setenv("HOME", str(found))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return found


def test_the_identity_is_what_git_says_and_nothing_else(home: Path, tmp_path: Path) -> None:
    assert asyncio.run(given.git_identity()) is None
    (home / ".gitconfig").write_text(
        f'{IDENTITY}[include]\n\tpath = more\n[credential]\n\thelper = "!echo SECRET"\n[alias]\n\tx = SECRET\n'
    )
    (home / "more").write_text("[user]\n\temail = ada@example.org\n")
    found = asyncio.run(given.git_identity())
    assert found is not None and b"SECRET" not in found and b"old@" not in found
    (tmp_path / "theirs").write_bytes(found)
    listed = subprocess.run(
        ["git", "config", "--file", tmp_path / "theirs", "--list"], capture_output=True, text=True, check=True
    )
    assert listed.stdout == 'user.name=Ada "L" \\ Lovelace\nuser.email=ada@example.org\n'


@pytest.mark.parametrize(
    "text", ["", "[user]\n", "[core]\n\teditor = vi\n", "no git settings", '[user]\n\tname = "a\\nb"\n']
)
def test_where_git_has_none_there_is_none(home: Path, text: str) -> None:
    (home / ".gitconfig").write_text(text)
    assert asyncio.run(given.git_identity()) is None


def test_xdg_s_place_counts_too(home: Path) -> None:
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "config").write_text("[user]\n\tname = Ada\n")
    found = asyncio.run(given.git_identity())
    assert found is not None and found.endswith(b'[user]\n\tname = "Ada"\n')


def brought(installation: Installation, daemon: Daemon) -> set[str]:
    initrd = Path(installation.paths.vm(daemon.vms.show("one").id), "initrd.cpio").read_bytes()
    names = ("banger/defaults/root/.gitconfig", "banger/files/root/.vimrc")
    return {each.rpartition("/")[2] for each in names if each.encode() + b"\0" in initrd}


@scenario
async def test_a_machine_is_brought_what_it_has_not_had(installation: Installation, home: Path) -> None:
    (home / ".gitconfig").write_text(IDENTITY)
    (home / ".vimrc").write_text("set nu\n")
    entries = (FileSync("~/.vimrc", "/root/.vimrc"), FileSync("~/gone", "/root/gone"))
    async with installation.daemon(file_sync=entries) as daemon:

        async def again() -> set[str]:
            await daemon.done(await daemon.vms.restart("one", StopVm(timeout=5)))
            return brought(installation, daemon)

        created = await daemon.create()
        assert brought(installation, daemon) == {".gitconfig", ".vimrc"}
        assert [each for each in created.notices if "file_sync" in each] == [
            "file_sync: ~/gone is not on this host, and was left out"
        ]
        assert await again() == set(), "it has them"
        (home / ".vimrc").write_text("set nonu\n")
        installation.answer("/bin/sh -c 'kill -9 $PPID'")
        with pytest.raises(errors.VmmFailed):
            await again()
        installation.answer()
        await daemon.done(await daemon.vms.start("one"))
        assert brought(installation, daemon) == {".gitconfig", ".vimrc"}, "nobody knows how far the first came"
        assert await again() == set()
        (home / ".vimrc").unlink()
        (home / ".vimrc").symlink_to("/etc/hostname")
        await daemon.done(await daemon.vms.stop("one", StopVm(timeout=5)))
        with pytest.raises(errors.BadSetting, match=r"file_sync\[0\]: ~/.vimrc: it is a symbolic link"):
            await daemon.done(await daemon.vms.start("one"))
        assert daemon.vms.show("one").state == "stopped"
        await daemon.done(await daemon.vms.delete("one"))


@scenario
async def test_who_wants_no_identity_in_machines_gives_none(installation: Installation, home: Path) -> None:
    (home / ".gitconfig").write_text(IDENTITY)
    async with installation.daemon(git_identity=False) as daemon:
        await daemon.create()
        assert brought(installation, daemon) == set()
        await daemon.done(await daemon.vms.delete("one"))
