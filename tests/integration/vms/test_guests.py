"""Real guests: the whole way from an image in a registry's form to a command's output, under QEMU."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.api.vm import ExecVm, StopVm
from tests import edge_layers, guest_images
from tests.ext4_image import Ext4Image
from tests.installation import Daemon, Installation, scenario
from tests.integration.vms.real import booting

pytestmark = pytest.mark.qemu


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with booting(tmp_path) as made:
        yield made


async def the_edge_is_seen(daemon: Daemon, scratch: Path) -> None:
    """What layers may do to a file system looks from inside as it was meant, and as e2fsprogs read it."""
    hexadecimal = r"""cd /edge && find . -exec stat -c '%n|%f|%u|%g|%Y|%h|/' {} + | od -An -v -tx1 | tr -d ' \n'"""
    code, told = await daemon.run("one", "sh", "-c", hexadecimal)
    assert code == 0, told
    lines = bytes.fromhex(told).split(b"|/\n")[:-1]
    found = {name.removeprefix(b"."): facts.split(b"|") for name, _, facts in (each.partition(b"|") for each in lines)}
    kinds = {"regular": 0o100000, "directory": 0o040000, "symlink": 0o120000}
    image = Ext4Image(daemon.images.show(daemon.vms.show("one").image).rootfs, scratch)
    image.check()
    assert found == {
        name.removeprefix(b"edge"): [
            *(b"%x" % (kinds[each.kind] | each.mode), b"%d" % each.uid, b"%d" % each.gid),
            *(b"%d" % (each.mtime // 1_000_000_000), b"%d" % each.links),
        ]
        for name, each in image.read(xattr_values=False).items()
        if name.split(b"/")[0] == b"edge"
    }
    for path, content in edge_layers.SEEN.items():
        shown = await daemon.run("one", "cat", f"/edge/{path.decode()}")
        assert shown[0] == 1 if content is None else shown == (0, content.decode()), path
    digest = hashlib.sha256(edge_layers.sparse_content()).hexdigest()
    assert (await daemon.run("one", "sha256sum", "/edge/sparse"))[1].split() == [digest, "/edge/sparse"]
    assert len((await daemon.run("one", "readlink", "/edge/link/of-4000"))[1]) == 4001


@scenario
async def test_from_a_layout_to_a_command_and_what_was_written_is_kept(
    installation: Installation, tmp_path: Path
) -> None:
    layers = [guest_images.busybox_tar(), edge_layers.below(), edge_layers.above()]
    config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/sbin"]}
    layout = guest_images.write_layout(tmp_path / "layout", layers, config=config)
    async with installation.daemon() as daemon:
        created = await daemon.create(image=layout, env={"FROM": "machine"}, disk_size=20 << 30)
        await the_edge_is_seen(daemon, tmp_path)
        assert {"image", "disk", "initrd", "monitor", "agent"} < {each.name for each in created.phases}
        health = await daemon.vms.health("one")
        assert (health.init, health.hostname) == ("agent", "one") and abs(health.clock_offset) < 60
        code, shown = await daemon.run("one", "stat", "-f", "-c", "%S %b", "/")
        assert code == 0 and 19 << 30 < int(shown.split()[0]) * int(shown.split()[1]) <= 20 << 30, shown

        assert await daemon.run("one", "hostname") == (0, "one\n")
        assert await daemon.run("one", "cat", "/etc/hostname", "/etc/resolv.conf") == (0, "one\nnameserver 10.0.2.3\n")
        assert await daemon.run("one", "sh", "-c", "echo $FROM; exit 42") == (42, "machine\n")
        with pytest.raises(errors.CommandNotFound):
            await daemon.run("one", "nonesuch")
        command, _ = await daemon.vms.exec("one", ExecVm(argv=[], stdin=True))
        await command.write(b"echo shell $PWD\nexit 7\n")
        output = b"".join([data async for _, data in command.output()])
        assert output.startswith(b"shell /") and (await command.wait()).exit_code == 7

        await daemon.run("one", "sh", "-c", "echo edited > /etc/hosts; head -c 1000000 /dev/zero > /kept")
        stop = await daemon.done(await daemon.vms.stop("one", StopVm(timeout=60)))
        assert (daemon.vms.show("one").stop_reason, stop.notices) == ("powered off", [])
        await daemon.done(await daemon.vms.start("one"))
        assert await daemon.run("one", "sh", "-c", "cat /etc/hosts; wc -c < /kept") == (0, "edited\n1000000\n")

        again = await daemon.vms.health("one")
        assert again.boot_id != health.boot_id
    async with installation.daemon() as daemon:
        assert (await daemon.vms.health("one")).boot_id == again.boot_id
        await daemon.done(await daemon.vms.delete("one"))
        assert installation.machine_files() == []


@scenario
async def test_an_image_without_a_shell_runs_its_program_and_says_that_it_has_no_shell(
    installation: Installation, tmp_path: Path
) -> None:
    layout = guest_images.scratch(tmp_path / "layout")
    async with installation.daemon() as daemon:
        await daemon.create(image=layout)
        assert await daemon.run("one", "/hello") == (0, "hello from scratch\n")
        assert (await daemon.run("one", "/hello", "fail"))[0] == 3
        with pytest.raises(errors.CommandNotFound, match="/bin/sh"):
            await daemon.run("one")
        await daemon.done(await daemon.vms.delete("one"))


@scenario
async def test_an_images_own_wishes_hold(installation: Installation, tmp_path: Path) -> None:
    layout = guest_images.configured(tmp_path / "layout")
    async with installation.daemon() as daemon:
        await daemon.create(image=layout)
        shown = await daemon.run("one", "sh", "-c", "echo $GREETING; id -u; pwd")
        assert shown == (0, "good day\n1000\n/srv/work\n")
        assert await daemon.run("one", entrypoint=True) == (0, "entry good day argument 1000 /srv/work\n")
        assert await daemon.run("one", "pwd", user="root", cwd="/") == (0, "/\n")
        await daemon.done(await daemon.vms.delete("one"))


@scenario
async def test_a_panic_and_a_power_off_are_told_as_such_and_cost_no_disk(
    installation: Installation, tmp_path: Path
) -> None:
    layout = guest_images.busybox(tmp_path / "layout")
    ends = {
        "(sleep 0.2; echo c > /proc/sysrq-trigger) >/dev/null 2>&1 &": "panic: sysrq triggered crash",
        "(sleep 0.2; poweroff -f) >/dev/null 2>&1 &": "powered off",
    }
    async with installation.daemon() as daemon:
        await daemon.create(image=layout)
        await daemon.run("one", "sh", "-c", "echo here > /kept; sync")
        listener = daemon.engine.events.listen()
        for script, told in ends.items():
            await daemon.run("one", "sh", "-c", script)
            async for event in listener.events():
                if event.kind == "machine" and event.state == "stopped":
                    break
            assert event.reason.startswith(told), event
            shown = daemon.vms.show("one")
            assert (shown.state, shown.pid, shown.stop_reason) == ("stopped", None, event.reason)
            await daemon.done(await daemon.vms.start("one"))
            assert await daemon.run("one", "cat", "/kept") == (0, "here\n")
        await daemon.done(await daemon.vms.delete("one"))
