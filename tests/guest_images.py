"""Guest images for tests, made from Debian packages and one C file, as OCI image layouts.

=============  ==============================================================================  ==================
function       what is in it                                                                   entry in /sbin/init
=============  ==============================================================================  ==================
`busybox`      Debian's static busybox, its applets as links, /etc/passwd; no C library        none
`scratch`      one static binary, /hello, which prints "hello from scratch"; no shell          none
`configured`   busybox whose config sets entrypoint, cmd, env, user, workdir                   none
`debian`       bookworm minbase (dpkg, apt, bash), no init                                     none
`systemd`      the default image's packages: systemd, sshd, git, python3                       systemd
=============  ==============================================================================  ==================

Each takes the directory to write the layout into and returns its skopeo name, ``oci:DIR:latest``; push it with
`tests.registry.Registry.push`, or import it as it is. What is slow to make (the binary, the minbase tar) is kept in
the build cache, keyed by its recipe, and written atomically, so that parallel test workers share it. `write_layout`
makes a layout of any layers.
"""

import asyncio
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.kept import build_cache

EPOCH = 1_700_000_000
"""The modification time of all that is made here."""

HELLO_C = """\
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "fail")) return 3;
    puts("hello from scratch");
    return 0;
}
"""

ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/srv/work:/bin/sh\n",
    "etc/group": "root:x:0:\nworker:x:1000:\n",
}

CONFIGURED: dict[str, Any] = {
    "Entrypoint": ["/bin/sh", "-c", 'echo "entry $GREETING $0 $(id -u) $(pwd)"'],
    "Cmd": ["argument"],
    "Env": ["PATH=/bin:/sbin", "GREETING=good day", "EMPTY="],
    "User": "worker",
    "WorkingDir": "/srv/work",
    "Labels": {"org.example.kind": "configured"},
}
"""The config of `configured`."""


class Tar:
    """An uncompressed tar archive in memory, entries with fixed times and owner root unless told otherwise."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, kind: bytes, data: bytes = b"", mode: int = 0o755, **fields: Any) -> "Tar":
        """One entry; ``fields`` are attributes of tarfile.TarInfo (linkname, uid, gid, mtime, pax_headers, ...)."""
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.mtime, info.size = kind, mode, EPOCH, len(data)
        for field, value in fields.items():
            setattr(info, field, value)
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def directory(self, name: str, mode: int = 0o755, **fields: Any) -> "Tar":
        return self.add(name, tarfile.DIRTYPE, mode=mode, **fields)

    def file(self, name: str, data: bytes = b"", mode: int = 0o644, **fields: Any) -> "Tar":
        return self.add(name, tarfile.REGTYPE, data, mode, **fields)

    def symlink(self, name: str, target: str, **fields: Any) -> "Tar":
        return self.add(name, tarfile.SYMTYPE, mode=0o777, linkname=target, **fields)

    def hardlink(self, name: str, target: str, **fields: Any) -> "Tar":
        return self.add(name, tarfile.LNKTYPE, linkname=target, **fields)

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def write_layout(
    directory: Path,
    layers: Sequence[bytes],
    *,
    config: Mapping[str, Any] | None = None,
    compression: str = "gzip",
    tag: str = "latest",
    architecture: str = "amd64",
) -> str:
    """Write an OCI image layout of uncompressed tar ``layers``; returns its skopeo name.

    ``compression`` is gzip, zstd or none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}[compression]
    described = [
        _blob(directory, f"application/vnd.oci.image.layer.v1.tar{suffix}", compress(layer, compression))
        for layer in layers
    ]
    image = {
        "architecture": architecture,
        "os": "linux",
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(directory, "application/vnd.oci.image.config.v1+json", _json(image)),
        "layers": described,
    }
    entry = _blob(directory, "application/vnd.oci.image.manifest.v1+json", _json(manifest))
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "manifests": [entry]}
    (directory / "index.json").write_bytes(_json(index))
    return f"oci:{directory}:{tag}"


def busybox(directory: Path, *, config: Mapping[str, Any] | None = None) -> str:
    """Debian's static busybox with its applets; Cmd is /bin/sh."""
    return write_layout(directory, [busybox_tar()], config=config or {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/sbin"]})


def configured(directory: Path) -> str:
    """Busybox with the config `CONFIGURED`."""
    return busybox(directory, config=CONFIGURED)


def scratch(directory: Path) -> str:
    """One static binary and nothing else."""
    layer = Tar().file("hello", hello_binary().read_bytes(), 0o755).bytes()
    return write_layout(directory, [layer], config={"Entrypoint": ["/hello"]})


def debian(directory: Path) -> str:
    """Debian bookworm minbase, without an init."""
    layer = debian_tar().read_bytes()
    return write_layout(
        directory, [layer], config={"Cmd": ["/bin/bash"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
    )


def systemd(directory: Path) -> str:
    """Debian bookworm with the packages of the default image."""
    layer = systemd_tar().read_bytes()
    return write_layout(directory, [layer])


def systemd_tar() -> Path:
    """The tar of `systemd`, as `banger.oci.debian` makes it; a minute or two when it is not there yet."""
    from banger.oci import debian

    def bootstrap(target: Path) -> None:
        asyncio.run(debian.build_rootfs_tar(debian.DEFAULT_SUITE, debian.DEFAULT_PACKAGES, str(target)))

    return _cached("bookworm-systemd.tar", Path(debian.__file__).read_text(), bootstrap)


def hello_binary() -> Path:
    """The static binary of `scratch`."""

    def compile_hello(target: Path) -> None:
        source = target.with_suffix(".c")
        source.write_text(HELLO_C)
        _run(sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-static", "-Os", "-s",
             "-o", str(target), str(source))  # fmt: skip

    return _cached("hello", HELLO_C, compile_hello)


def debian_tar() -> Path:
    """A tar of bookworm minbase as mmdebstrap makes it, without package lists and caches."""
    options = ["--variant=minbase", "--dpkgopt=path-exclude=/usr/share/doc/*"]

    def bootstrap(target: Path) -> None:
        mode = "root" if os.geteuid() == 0 else "unshare"
        scratch_disk = _reachable(target.parent)
        _run("mmdebstrap", f"--mode={mode}", *options, "--format=tar", "bookworm", str(target),
             env={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(scratch_disk)})  # fmt: skip

    return _cached("bookworm-minbase.tar", repr(options), bootstrap)


def _reachable(directory: Path) -> Path:
    """``directory``, or /var/tmp when subordinate users cannot reach it (a private home)."""
    open_to_all = all(each.stat().st_mode & 0o001 for each in [directory, *directory.parents])
    return directory if open_to_all else Path("/var/tmp")


def busybox_tar() -> bytes:
    """The layer of `busybox`."""
    program = Path("/bin/busybox")
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True, timeout=30).stdout.split()
    tar = Tar()
    for name in ("bin", "dev", "etc", "proc", "run", "sbin", "srv", "sys", "usr", "var"):
        tar.directory(name)
    tar.directory("root", 0o700).directory("tmp", 0o1777).directory("srv/work", uid=1000, gid=1000)
    tar.file("bin/busybox", program.read_bytes(), 0o755)
    for applet in sorted(set(applets) - {"busybox", "init"}):
        tar.symlink(f"bin/{applet}", "busybox")
    for name, text in ACCOUNTS.items():
        tar.file(name, text.encode())
    return tar.bytes()


def _cached(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The file ``name`` of the build cache, made once for each recipe."""
    directory = build_cache() / hashlib.sha256(f"{name}\0{recipe}".encode()).hexdigest()[:16]
    ready = directory / name
    if not ready.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as staging:
            made = Path(staging) / name
            make(made)
            made.replace(ready)
    return ready


def _run(*argv: str, env: Mapping[str, str] | None = None) -> None:
    if shutil.which(argv[0]) is None:
        raise RuntimeError(f"{argv[0]} is not installed; the tests need it")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr[-2000:]}")


def compress(layer: bytes, compression: str) -> bytes:
    """A layer as it is stored: ``compression`` is gzip, zstd or none."""
    if compression == "gzip":
        return gzip.compress(layer, 1, mtime=0)
    if compression == "zstd":
        from backports import zstd

        return zstd.compress(layer, 3)
    return layer


def store_blob(directory: Path, media_type: str, value: object) -> dict[str, Any]:
    """Put a JSON document into a layout; returns its descriptor."""
    return _blob(directory, media_type, _json(value))


def _blob(directory: Path, media_type: str, data: bytes) -> dict[str, Any]:
    path = directory / "blobs/sha256" / _digest(data).removeprefix("sha256:")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
