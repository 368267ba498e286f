"""A build of a suite: what mmdebstrap is told to do in the new root, and one real build from the archive."""

import os
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest

from banger import errors, proc
from banger.api.recipe import BuildImage, BuiltFile, RecipeConfig, RecipeFile
from banger.builds import payload, shell
from banger.disk import edit
from tests import guest_images
from tests.installation import scenario
from tests.integration.builds.conftest import Rig


def run_hook(root: Path, commands: list[str], files: list[BuiltFile]) -> subprocess.CompletedProcess[str]:
    """What mmdebstrap does with the hook, in a root of busybox."""
    script = shell.suite_script(files, len(commands), {**shell.ENVIRONMENT, "A": "it's $(id)"}, "token")
    place = root / shell.PLACE.lstrip("/")
    place.mkdir(parents=True)
    (place / "run").write_text(script)
    for number, command in enumerate(commands, 1):
        (place / str(number)).write_text(command + "\n")
    user = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
    inside = f"mount --rbind /dev {shlex.quote(str(root))}/dev && exec env http_proxy='http://p r/' " + shlex.join(
        ["sh", "-c", shell.SUITE_HOOK, "exec", str(root)]
    )
    return subprocess.run(
        ["unshare", "--mount", *user, "sh", "-c", inside], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "a root"
    made.mkdir()
    subprocess.run(["tar", "-xC", made], input=guest_images.busybox_tar(), check=True)
    return made


def test_the_hook_runs_commands_in_order_in_a_plain_environment(root: Path) -> None:
    (root / "etc/x").touch()
    owned = BuiltFile(path="/etc/x", mode=0o2750, owner="worker:worker", size=0, digest="")
    commands = ['echo "$A $HOME $PWD $http_proxy"', "env | grep -c XDG || true\ncat", "stat -c '%U %a' /etc/x >&2"]
    done = run_hook(root, commands, [owned])
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.splitlines() == [
        *("token files", "token 1", "it's $(id) /root / http://p r/", "token 2", "0", "token 3", "worker 2750"),
        "token done",
    ]
    assert not (root / shell.PLACE.lstrip("/")).exists()


def test_the_hook_stops_at_the_first_command_that_fails(root: Path) -> None:
    done = run_hook(root, ["touch /one", "false\ntouch /two", "touch /three"], [])
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == "token failed 1"
    assert (root / "one").exists() and not (root / "two").exists() and not (root / "three").exists()


def test_an_archive_of_files_is_read_as_it_was_meant(tmp_path: Path) -> None:
    files = [
        RecipeFile(path="/srv/" + "deep/" * 60 + "file", content=b"\0\xff", mode=0o4711, owner="7:8"),
        RecipeFile(path="/etc/ünïcode", content=b"", owner="worker"),
    ]
    payload.write(str(tmp_path / "here/files.tar"), files)
    told = subprocess.run(
        ["tar", "--numeric-owner", "-tvf", tmp_path / "here/files.tar"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[:3] for line in told] == [["-rws--x--x", "7/8", "2"], ["-rw-r--r--", "0/0", "0"]]


@pytest.mark.timeout(600)
@scenario
async def test_a_suite_becomes_an_image_by_its_recipe(rig: Rig) -> None:
    recipe = BuildImage(
        name="built",
        systemd=True,
        ssh=True,
        files=[RecipeFile(path="/srv/new/greeting", content=b"hello\n", mode=0o640, owner="games")],
        commands=[
            "stat -c '%U %a' /srv/new/greeting >/result; echo $GREETING >>/result; ls -A /run >>/result",
            "ln -sf /host-file /etc/hosts; ln -sf /host-file /etc/hostname",
            "if [ -e /stop ]; then exit 3; fi",
        ],
        config=RecipeConfig(env={"GREETING": "it's a $day"}),
    )
    async with rig.daemon() as daemon:
        ended = await daemon.done(await daemon.builds.build(recipe))
        image = daemon.images.show("built")
        assert image.init == "/sbin/init"
        for name in ("/usr/sbin/sshd", "/lib/systemd/systemd", "/usr/bin/ssh-keygen"):
            assert await edit.resolve(image.rootfs, name) is not None, name
        enabled = await edit.listing(image.rootfs, "/etc/systemd/system/multi-user.target.wants")
        assert b"ssh.service" in [each.name for each in enabled]
        keys = [each.name for each in await edit.listing(image.rootfs, "/etc/ssh") if b"host" in each.name]
        assert keys == [], "each machine makes its own"
        script = "cat /result\nstat /host-file\nls -l /run\n"
        argv = [proc.find("debugfs"), "-f", "-", image.rootfs]
        told = subprocess.run(argv, input=script, capture_output=True, text=True, check=True)  # noqa: ASYNC221
        assert "games 640\nit's a $day\n" in told.stdout and "banger-build" not in told.stdout.split("ls -l")[1]
        assert not os.path.exists("/host-file")  # the host's own
        assert (image.kind, image.source) == ("debian", "debian:bookworm") and ended.notices == []
        assert image.steps[0].text == "built of debian:bookworm"
        again = await daemon.done(await daemon.builds.build(msgspec.structs.replace(recipe, name="again")))
        assert any("built was built alike" in each for each in again.notices)
        with pytest.raises(errors.UsageError):
            await daemon.builds.build(BuildImage(name="other", packages=["Bad_Name"]))
