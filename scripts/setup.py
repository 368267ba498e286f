"""Bring this checkout to where banger runs (``run``) or can be tested as well (``test``).

Four steps, each skipped when its inputs have not changed since the last time: the distribution's packages, the
virtual environment in ``.venv`` (every package by hash, from requirements.lock), the parts written in C, and byte code
for a quick start. Only the first needs root, and asks sudo for it. Standard library only: this runs before anything is
installed. What was done is on record in ``.venv/setup.json``: step -> key of its inputs.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
RECORD = VENV / "setup.json"
CACHE = Path(os.environ.get("BANGER_BUILD_CACHE") or Path.home() / ".cache" / "banger-build")

RUN_PACKAGES = {
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "skopeo": "skopeo",
    "mmdebstrap": "mmdebstrap",
    "uidmap": "newuidmap",
    "e2fsprogs": "mke2fs",
    "kmod": "depmod",
    "lz4": "lz4",
    "xz-utils": "xz",
    "zstd": "zstd",
    "ca-certificates": "update-ca-certificates",
    "debian-archive-keyring": "",
    "python3-venv": "",
}
"""What banger needs on the host: Debian package -> the program by which another distribution is checked."""

TEST_PACKAGES = {
    "busybox-static": "busybox",
    "docker-registry": "docker-registry",
    "gpg": "gpg",
    "openssh-client": "ssh",
    "rsync": "rsync",
    "iproute2": "ip",
    "nftables": "",
    "strace": "strace",
    "git": "git",
    "make": "make",
    "umoci": "umoci",
    "squashfs-tools": "mksquashfs",
    "xfsprogs": "mkfs.xfs",
    "btrfs-progs": "mkfs.btrfs",
    "systemd": "systemd-analyze",
    "zsh": "zsh",
    "fish": "fish",
    "man-db": "man",
    "mandoc": "mandoc",
}
"""What the tests and benches need besides."""


class SetupFailed(Exception):
    """The set-up cannot go on; the text says why and what to do."""


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def run(argv: list[str], *, quiet: bool = True) -> None:
    """Run a program; its output is shown only when it fails."""
    done = subprocess.run(
        argv,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout or "")
        raise SetupFailed(f"'{' '.join(argv[:6])} ...' ended with status {done.returncode}")


# -- packages ---------------------------------------------------------------------------------------------------------


def installed(packages: Iterable[str]) -> set[str]:
    """Those of ``packages`` that dpkg has, fully installed."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    pairs = (line.split() for line in done.stdout.splitlines())
    return {name for name, status in pairs if status == "installed"}


def ensure_packages(wanted: dict[str, str]) -> None:
    """Install what is missing with apt; where there is no apt, check the programs and name the packages."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        absent = {package: tool for package, tool in wanted.items() if tool and shutil.which(tool) is None}
        if absent:
            raise SetupFailed(
                "this distribution has no apt; install what Debian calls: "
                + " ".join(absent)
                + f"\nsetup: (programs not found: {' '.join(absent.values())})"
            )
        return
    missing = sorted(set(wanted) - installed(wanted))
    if not missing:
        return
    elevate: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise SetupFailed(f"needs root and there is no sudo; as root: apt-get install {' '.join(missing)}")
        elevate = ["sudo"]
    say(f"installing with apt: {' '.join(missing)}")
    apt = [*elevate, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    install = [*apt, "install", "--yes", "--no-install-recommends", *missing]
    lists = Path("/var/lib/apt/lists")
    try:
        if not any(lists.glob("*_Packages*")):
            raise SetupFailed("apt has no lists yet")
        run(install)
    except SetupFailed:
        say("updating apt's lists")
        run([*apt, "update"])
        run(install)


# -- steps in the checkout --------------------------------------------------------------------------------------------


def key_of(*inputs: str | Path) -> str:
    """A digest of strings, files and directories (names and contents)."""
    digest = hashlib.sha256()
    for each in inputs:
        if isinstance(each, str):
            digest.update(each.encode() + b"\0")
            continue
        files = sorted(path for path in each.rglob("*") if path.is_file()) if each.is_dir() else [each]
        for path in files:
            if "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def make_environment() -> None:
    """The virtual environment, with banger in it as an editable install."""
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)])
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-compile", "--require-hashes", "--requirement", str(ROOT / "requirements.lock")])
    run([*pip, "--no-compile", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])


NATIVE = {"guest-agent": "src/banger/guest/agent", "netguard": "src/banger/vmm/qemu"}
"""Directories with C sources and a build.py -> where the binaries go."""


def build_native(source: str) -> None:
    """The C parts for this machine, into the package; the compiler's cache stays outside the checkout."""
    cache = str(CACHE / "zig")
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", cache)
    os.environ.setdefault("ZIG_LOCAL_CACHE_DIR", cache)
    run([str(VENV / "bin" / "python"), str(ROOT / source / "build.py"), "--arch", platform.machine()])


def binaries(place: str) -> str:
    """The names of what was built: when one is lost, it is built again."""
    return " ".join(sorted(str(path) for path in (ROOT / place).glob("*/*") if path.suffix in ("", ".so")))


def compile_sources() -> None:
    """Byte code for what a command loads: without it the first start of each would pay for compiling."""
    run([str(VENV / "bin" / "python"), "-m", "compileall", "-q", "-j0", str(ROOT / "src")])
    packages = next(VENV.glob("lib/python*/site-packages"))
    loaded = [str(packages / name) for name in LOADED if (packages / name).exists()]
    run([str(VENV / "bin" / "python"), "-m", "compileall", "-q", "-j0", *loaded])


LOADED = (
    "msgspec",
    "starlette",
    "uvicorn",
    "websockets",
    "anyio",
    "idna",
    "h11",
    "click",
    "isal",
    "crc32c",
    "dns",
    "backports",
)
"""The packages that the command and the daemon load."""


def project() -> str:
    """What pyproject.toml says of the package itself; how the checkers are set does not concern the environment."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        tables = tomllib.load(file)
    return json.dumps([tables["build-system"], tables["project"], tables["tool"]["hatch"]], sort_keys=True)


def steps() -> list[tuple[str, str, Callable[[], None], str]]:
    """Name, what to say, action and key of the inputs of each step, in order."""
    environment = key_of(sys.version, str(ROOT), ROOT / "requirements.lock", project())
    found = [("environment", f"making the virtual environment {VENV}", make_environment, environment)]
    for source, place in NATIVE.items():
        if (ROOT / source).is_dir():
            key = key_of(environment, binaries(place), ROOT / source)
            found.append((source, f"building {source}", partial(build_native, source), key))
    found.append(("bytecode", "compiling to byte code", compile_sources, key_of(environment, ROOT / "src" / "banger")))
    return found


def prepare(mode: str) -> None:
    """Do every step whose inputs changed."""
    ensure_packages(RUN_PACKAGES | (TEST_PACKAGES if mode == "test" else {}))
    turn = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(turn, fcntl.LOCK_EX)  # a second set-up in this checkout waits for the first
    try:
        done: dict[str, str] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        for position in range(len(steps())):
            name, text, action, key = steps()[position]
            if done.get(name) == key:
                continue
            begun = time.monotonic()
            say(text)
            action()
            done = {**done, name: steps()[position][3]} if name != "environment" else {name: key}
            RECORD.write_text(json.dumps(done, indent=1) + "\n")
            say(f"  took {time.monotonic() - begun:.1f} s")
    finally:
        os.close(turn)


def main() -> int:
    mode = sys.argv[1] if len(sys.argv) > 1 else "run"
    if mode not in ("run", "test"):
        print("usage: setup.py run|test", file=sys.stderr)
        return 2
    os.environ.setdefault("BANGER_BUILD_CACHE", str(CACHE))
    try:
        prepare(mode)
    except SetupFailed as failure:
        say(str(failure))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
