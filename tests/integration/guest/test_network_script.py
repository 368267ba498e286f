"""The network script as it is, run in a root and a network of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from banger.guest import assets

SCRIPT = "/usr/local/libexec/banger-network-bootstrap"
NET = "banger.net=10.9.8.7/24,10.9.8.1"
UP = "ip link add eth0 type veth peer name peer0"


class Root:
    """A directory to change the root to, with a shell and the guest assets in it."""

    def __init__(self, directory: Path, agent: Path, *applets: str) -> None:
        self.directory = directory
        for name in ("bin", "proc", "sys", "etc", "dev"):
            (directory / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", directory / "bin" / "busybox")
        for applet in ("sh", "sleep", "rm", "mv", *applets):
            (directory / "bin" / applet).symlink_to("busybox")
        (directory / "dev" / "null").touch()
        for file in assets.load(str(agent)).files:
            path = directory / file.path.lstrip("/")
            if file.target is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.content)
                path.chmod(file.mode)

    def run(self, line: str, before: str = UP) -> subprocess.CompletedProcess[str]:
        """Boot with a kernel command line; what the script says, then the addresses and routes."""
        (self.directory / "proc" / "cmdline").write_text(f"quiet {line} other=*\n")
        script = (
            f"{before}; mount -t sysfs sysfs {self.directory}/sys || exit 99\n"
            f"mount --bind /dev/null {self.directory}/dev/null || exit 99\n"
            f"chroot {self.directory} {SCRIPT}; status=$?\n"
            "ip -oneline -4 address; ip route; exit $status"
        )
        return subprocess.run(
            ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
        )

    @property
    def resolv(self) -> Path:
        return self.directory / "etc" / "resolv.conf"


@pytest.mark.parametrize("applets", [["ip"], []], ids=["ip", "the agent"])
def test_it_does_what_the_command_line_says(tmp_path: Path, binary: Path, applets: list[str]) -> None:
    root = Root(tmp_path / "root", binary, *applets)
    root.resolv.symlink_to("../run/nothing/resolv.conf")
    done = root.run(f"{NET} banger.dns=10.9.8.1,2001:db8::1")
    assert (done.returncode, done.stderr) == (0, "")
    assert " eth0    inet 10.9.8.7/24 " in done.stdout and "default via 10.9.8.1 dev eth0" in done.stdout
    assert root.resolv.read_text() == "nameserver 10.9.8.1\nnameserver 2001:db8::1\n"
    assert root.resolv.stat().st_mode & 0o777 == 0o644 and not root.resolv.is_symlink()
    assert sorted(path.name for path in (root.directory / "etc").iterdir()) == [
        "modules-load.d",
        "resolv.conf",
        "systemd",
    ]


def test_what_is_not_said_is_left_alone(tmp_path: Path, binary: Path) -> None:
    root = Root(tmp_path / "root", binary, "ip")
    root.resolv.write_text("nameserver 192.0.2.1\n")
    assert root.run("banger.hostname=one").stdout == ""
    done = root.run(NET)
    assert done.returncode == 0 and "10.9.8.7" in done.stdout
    assert root.resolv.read_text() == "nameserver 192.0.2.1\n"


def test_it_waits_for_an_interface_that_comes_late(tmp_path: Path, binary: Path) -> None:
    root = Root(tmp_path / "root", binary, "ip")
    done = root.run(NET, f"{{ sleep 1; {UP}; }} & :")
    assert done.returncode == 0 and " eth0    inet 10.9.8.7/24 " in done.stdout


@pytest.mark.parametrize(
    "word",
    ["", "10.9.8.7", "10.9.8.7/24", "10.9.8.7/24,", "/24,10.9.8.1", "10.9.8.7,10.9.8.1/24", "a/24,b", "10.9.8.7/24,*",
     "10.9.8.7/24,10.9.8.1,x", "$(reboot)/24,10.9.8.1"],
)  # fmt: skip
def test_a_malformed_word_is_named(tmp_path: Path, binary: Path, word: str) -> None:
    done = Root(tmp_path / "root", binary, "ip").run(f"banger.net={word} banger.net={word}" if word else "banger.net=")
    if word:
        assert done.returncode == 1 and f"banger.net={word} is not ADDRESS/BITS,GATEWAY" in done.stderr
    assert "inet" not in done.stdout


@pytest.mark.parametrize("applets", [["ip"], []], ids=["ip", "the agent"])
def test_an_address_that_no_kernel_takes_is_a_failure(tmp_path: Path, binary: Path, applets: list[str]) -> None:
    done = Root(tmp_path / "root", binary, *applets).run("banger.net=10.9.8.777/24,10.9.8.1")
    assert done.returncode == 1 and "eth0 cannot be set up as banger.net=10.9.8.777/24,10.9.8.1" in done.stderr
