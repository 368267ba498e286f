"""Build netguard.so with the C compiler of ziglang, for the oldest C library that anybody still runs.

    python netguard/build.py [--arch x86_64|aarch64|all]

The result goes where banger looks for it: src/banger/vmm/qemu/ARCH/netguard.so.
"""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.join(HERE, "..", "src", "banger", "vmm", "qemu")
ARCHITECTURES = ("x86_64", "aarch64")
FLAGS = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-sanitize=all", "-Wall", "-Wextra", "-Werror", "-s")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build netguard.so.")
    parser.add_argument("--arch", choices=(*ARCHITECTURES, "all"), default="all")
    wanted = parser.parse_args().arch
    source = os.path.join(HERE, "netguard.c")
    for architecture in ARCHITECTURES if wanted == "all" else (wanted,):
        directory = os.path.join(TARGET, architecture)
        os.makedirs(directory, exist_ok=True)
        built = os.path.join(directory, "netguard.so")
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-gnu.2.17"]
        # Built beside its place and renamed: a running QEMU keeps the file that it was started with.
        subprocess.run([*compiler, *FLAGS, "-o", built + ".new", source], check=True)
        os.chmod(built + ".new", 0o755)  # noqa: S103 - whoever QEMU runs as loads it
        os.replace(built + ".new", built)
        print(f"{os.path.relpath(built)}: {os.path.getsize(built)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
