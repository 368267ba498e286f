"""A small machine for the agent's own tests: Debian's cloud kernel, a busybox root, the agent as its initramfs.

Everything is made here from packages, without banger's own image and kernel code, so that these tests judge the agent
alone. What is downloaded is kept in the build cache.
"""

import fcntl
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.kept import build_cache

MODULES = (
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "failover",
    "net_failover", "virtio_net", "virtio_console",
)  # fmt: skip
"""In the order of loading."""

LISTENING = "00010000"
"""The flag of such a socket in /proc/net/unix."""

APPLETS = (
    "sh", "cat", "echo", "ls", "sleep", "true", "false", "ps", "kill", "id", "stty", "mount", "touch", "grep",
    "readlink", "mkdir", "ln", "hostname", "ip", "head", "wc", "dd", "seq", "stat", "cut", "date", "pwd", "tty",
    "md5sum",
)  # fmt: skip


def kernel() -> Path:
    """The unpacked package of Debian's current cloud kernel."""
    cache = build_cache() / "test-kernel"
    cache.mkdir(parents=True, exist_ok=True)
    tree = cache / "tree"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            depends = ["apt-cache", "depends", "linux-image-cloud-amd64"]
            told = subprocess.run(depends, check=True, capture_output=True, text=True, timeout=60).stdout
            package = next(word for word in told.split() if word.startswith("linux-image-") and word[12].isdigit())
            subprocess.run(["apt-get", "download", package], cwd=cache, check=True, timeout=240, capture_output=True)
            unpacked = cache / "unpacked"
            subprocess.run(["dpkg-deb", "-x", next(cache.glob("*.deb")), unpacked], check=True, timeout=120)
            unpacked.rename(tree)
    return tree


def cpio(files: dict[str, bytes | Path | None], owners: dict[str, tuple[int, int, int]] | None = None) -> bytes:
    """An initramfs segment (newc): None makes a directory, a Path is read; ``owners`` gives mode, uid, gid.

    A value that begins with "-> " is a symbolic link.
    """
    parts = []
    for number, (name, content) in enumerate({**files, "TRAILER!!!": b""}.items(), 1):
        data = content.read_bytes() if isinstance(content, Path) else content or b""
        mode, uid, gid = (owners or {}).get(name, (0o755, 0, 0))
        kind = 0o040000 if content is None else 0o100000
        if data.startswith(b"-> "):
            kind, data = 0o120000, data[3:]
        fields = (number, kind | mode, uid, gid, 1, 1_000_000_000, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        entry = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        entry += bytes(-len(entry) % 4) + data
        parts.append(entry + bytes(-len(entry) % 4))
    return b"".join(parts)


def initrd(agent: Path) -> bytes:
    """The shared segment: the agent and the modules."""
    tree = kernel()
    found = {name: next(tree.rglob(f"{name}.ko")) for name in MODULES}
    listed = "".join(f"/banger/lib/{name}.ko\n" for name in MODULES)
    files: dict[str, bytes | Path | None] = {"init": agent, "dev": None, "proc": None, "sys": None, "banger": None}
    files |= {"banger/lib": None, "banger/modules": listed.encode()}
    return cpio(files | {f"banger/lib/{name}.ko": path for name, path in found.items()})


def ext4(directory: Path, image: Path, size: str) -> Path:
    """A filesystem image of a directory's content."""
    command = ["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", str(directory), str(image), size]
    environment = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    subprocess.run(command, check=True, timeout=60, env=environment)
    return image


def systemd_root(image: Path) -> Path:
    """A minimal Debian whose init is systemd. Building its tree takes root and two minutes, once."""
    cache = build_cache() / "test-systemd"
    cache.mkdir(parents=True, exist_ok=True)
    tree = cache / "tree"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            partial = cache / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            command = ["mmdebstrap", "--variant=minbase", "--include=systemd-sysv", "bookworm", str(partial)]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            partial.rename(tree)
    return ext4(tree, image, "1G")


def busybox_root(directory: Path) -> Path:
    """A root without an init, whose /lib is a link as in every current distribution."""
    for name in ("bin", "etc", "usr/lib", "proc", "sys", "dev", "data"):
        (directory / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", directory / "bin" / "busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "lib").symlink_to("usr/lib")
    (directory / "etc" / "hosts").symlink_to("/data/elsewhere")
    (directory / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/data:/bin/sh\n")
    (directory / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\nextra:x:77:user\n")
    return directory


class Machine:
    """A QEMU process that boots ``root``, with the agent as its initramfs unless that is something else.

    With ``keep`` the root is only read: what the guest writes goes with it.
    """

    def __init__(
        self,
        directory: Path,
        root: Path,
        modules: Path | None,
        initramfs: bytes,
        command_line: str,
        memory: int = 256,
        keep: bool = False,
    ) -> None:
        self.socket = str(directory / "agent.sock")
        self.console = directory / "console.log"
        (directory / "initrd").write_bytes(initramfs)
        drive = "if=none,format=raw,cache=unsafe"
        second = ("-drive", f"{drive},id=mods,file={modules},readonly=on",
                  "-device", "virtio-blk-pci,drive=mods,serial=the-modules") if modules else ()  # fmt: skip
        self._process = subprocess.Popen([
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=128", "-cpu", "max",
            "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", f"file:{self.console}",
            "-kernel", next((kernel() / "boot").glob("vmlinuz-*")), "-initrd", directory / "initrd",
            "-append", f"console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off {command_line}",
            *(["-snapshot"] if keep else []),
            "-drive", f"{drive},id=root,file={root}", "-device", "virtio-blk-pci,drive=root,serial=the-root",
            *second,
            "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={self.socket},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=banger.agent.0",
        ])  # fmt: skip
        while not self._listens() and self.running:
            time.sleep(0.01)

    def _listens(self) -> bool:
        """Whether the agent's socket takes connections: for a moment it has a name and refuses them."""
        sockets = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
        return any(each[-1] == self.socket and each[3] == LISTENING for each in sockets)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout: float) -> int:
        return self._process.wait(timeout)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
