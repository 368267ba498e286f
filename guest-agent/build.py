#!/usr/bin/env python3
"""Builds the guest agent: one static binary for each architecture, byte for byte the same from the same sources.

    python guest-agent/build.py [--arch x86_64|aarch64|all] [--out DIR]

The compiler is zig's, from the `ziglang` package of the Python that runs this file. Its cache lies below
$BANGER_BUILD_CACHE, else ~/.cache/banger-build; the first build for an architecture also compiles musl and takes a
minute. A binary whose sources have not changed is left alone.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
PROJECT = SOURCES.parent
ARCHITECTURES = ("x86_64", "aarch64")
SIZE_LIMIT = 100_000
FLAGS = (
    "-std=gnu11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes",
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-ffunction-sections", "-fdata-sections",
    "-Wl,--gc-sections",
)  # fmt: skip


def version() -> str:
    """The package's version, which the agent reports as its own."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def fingerprint(arch: str) -> str:
    """Of everything that the binary is made from."""
    digest = hashlib.sha256(f"{arch} {version()} {FLAGS} {compiler_version()}".encode())
    for path in sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h"))):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def compiler_version() -> str:
    from importlib.metadata import version as installed

    return installed("ziglang")


def environment() -> dict[str, str]:
    cache = os.environ.get("BANGER_BUILD_CACHE") or os.path.expanduser("~/.cache/banger-build")
    zig = os.path.join(cache, "zig")
    os.makedirs(zig, exist_ok=True)
    return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig, "SOURCE_DATE_EPOCH": "0"}


def build(arch: str, out: Path) -> Path:
    """The binary of one architecture, built when it is not up to date."""
    binary = out / arch / "banger-agent"
    stamp = out / arch / "banger-agent.sources"
    wanted = fingerprint(arch)
    if binary.exists() and stamp.exists() and stamp.read_text().strip() == wanted:
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    temporary = binary.with_name(f".banger-agent.{os.getpid()}")
    sources = sorted(path.name for path in SOURCES.glob("*.c"))
    define = f'-DAGENT_VERSION="{version()}"'
    command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-musl", *FLAGS, define]
    # Relative names and one working directory: no path of this machine reaches the binary.
    subprocess.run([*command, *sources, "-o", str(temporary)], cwd=SOURCES, env=environment(), check=True)
    size = temporary.stat().st_size
    if size >= SIZE_LIMIT:
        temporary.unlink()
        raise SystemExit(f"the agent for {arch} has {size} bytes; the limit is {SIZE_LIMIT}")
    temporary.chmod(0o755)
    temporary.replace(binary)
    stamp.write_text(wanted + "\n")
    return binary


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the guest agent.")
    parser.add_argument("--arch", choices=(*ARCHITECTURES, "all"), default="all")
    parser.add_argument("--out", type=Path, default=PROJECT / "src" / "banger" / "guest" / "agent")
    arguments = parser.parse_args()
    for arch in ARCHITECTURES if arguments.arch == "all" else (arguments.arch,):
        binary = build(arch, arguments.out.resolve())
        print(f"{binary} ({binary.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
