"""What real guests find of the host on their work disks, and what of it is theirs from then on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.vm import StopVm
from banger.config.sync import FileSync
from tests import guest_images
from tests.installation import MIB, Daemon, Installation, scenario
from tests.integration.vms.real import booting

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

ENTRIES = (FileSync("~/.vimrc", "/root/.vimrc"), FileSync("~/dots", "/root/.config/dots"))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with booting(tmp_path) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the owner."""
    found = tmp_path / "owner"
    (found / "dots" / "empty").mkdir(parents=True, mode=0o700)
    (found / "dots" / "run").write_text("#!/bin/sh\n")
    (found / "dots" / "run").chmod(0o750)
    (found / "dots" / "link").symlink_to("../../.vimrc")
    (found / ".vimrc").write_text("first\n")
    (found / ".gitconfig").write_text("[user]\n\tname = Ada\n")
    monkeypatch.setenv("HOME", str(found))
    return found


async def told(daemon: Daemon, script: str) -> str:
    code, output = await daemon.run("one", "sh", "-c", script, user="root", cwd="/")
    assert code == 0, output
    return output


@scenario
async def test_files_and_identity_on_a_work_disk(installation: Installation, tmp_path: Path, home: Path) -> None:
    layers = [guest_images.busybox_tar(), guest_images.Tar().directory("root", 0o750).bytes()]
    layout = guest_images.write_layout(tmp_path / "layout", layers, config={"Env": ["PATH=/bin:/sbin"]})
    async with installation.daemon(file_sync=ENTRIES) as daemon:

        async def again() -> None:
            await daemon.done(await daemon.vms.restart("one", StopVm(timeout=120)))

        await daemon.create(image=layout, work_disk_size=64 * MIB)
        assert await told(daemon, "cd /root; stat -c '%n %a %u:%g %F' .vimrc .config/dots/* .gitconfig") == (
            ".vimrc 600 0:0 regular file\n.config/dots/empty 700 0:0 directory\n"
            ".config/dots/link 777 0:0 symbolic link\n.config/dots/run 750 0:0 regular file\n"
            ".gitconfig 644 0:0 regular file\n"
        )  # fmt: skip
        assert await told(daemon, "cat /root/.config/dots/link; tail -n1 /root/.gitconfig") == 'first\n\tname = "Ada"\n'

        (home / ".gitconfig").write_text("[user]\n\tname = Grace\n")
        await told(daemon, "echo mine >/root/.vimrc; rm -r /root/.config; ln -s /nowhere /root/.config")
        await again()
        assert await told(daemon, "cat /root/.vimrc; tail -n1 /root/.gitconfig") == 'first\n\tname = "Grace"\n'
        assert await told(daemon, "ls /root/.config/dots; ls /nowhere 2>&1 | wc -l") == "empty\nlink\nrun\n1\n"

        await told(daemon, "echo '# mine' >>/root/.gitconfig; echo mine >/root/.vimrc")
        await again()
        assert await told(daemon, "cat /root/.vimrc") == "mine\n", "nothing has changed on the host"
        (home / ".gitconfig").write_text("[user]\n\tname = Edith\n")
        (home / ".vimrc").write_text("second\n")
        await again()
        assert await told(daemon, "cat /root/.vimrc; tail -n1 /root/.gitconfig") == "second\n# mine\n"

        await told(daemon, "rm /root/.vimrc; mkdir -p /root/.vimrc/in-the-way")
        (home / ".vimrc").write_text("third\n")
        with pytest.raises(errors.VmmFailed):
            await again()
        (home / ".vimrc").unlink()
        started = await daemon.done(await daemon.vms.start("one"))
        assert any("~/.vimrc is not on this host" in each for each in started.notices)
        assert await told(daemon, "ls /root/.vimrc") == "in-the-way\n"
        await daemon.done(await daemon.vms.delete("one"))
