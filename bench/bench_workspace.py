"""A repository of 30,000 files into a machine, against a tar pipe through the same agent and rsync into the same
machine; and again, after ten files were edited.

rsync is the host's own on both sides: with its libraries it is copied into the machine. For a look in between, set
BENCH_ROUNDS, and BENCH_FILES to another number of files in each of the 300 directories.
"""

import itertools
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests import rsync_kit
from tests.home import BANGER, Home

from banger import proc
from bench.guests import Ssh, machine
from bench.measure import Finding, Place, Subject, compare, interleave, program, timed

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
DIRECTORIES, FILES, EDITED = 300, int(os.environ.get("BENCH_FILES", "100")), 10


def git(top: Path, *words: str) -> None:
    settings = ("-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.autoDetach=false")
    subprocess.run([proc.find("git"), "-C", str(top), *settings, *words], check=True, stdout=subprocess.DEVNULL)


def repository(top: Path) -> Path:
    """Source-like files of 0.5 to 8 KB in 300 directories, and ten commits."""
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    for directory in range(DIRECTORIES):
        place = top / f"package{directory % 20}" / f"module{directory}"
        place.mkdir(parents=True)
        for number in range(FILES):
            line = f"line of file {number} in directory {directory}, as source goes\n"
            (place / f"file{number}.py").write_text(line * (10 + (number * 37 + directory) % 120))
    for number in range(10):
        (top / "version").write_text(f"{number}\n")
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", f"version {number}")
    return top


def measure(place: Place) -> list[Finding]:
    home, scratch = place.home, place.scratch
    app = repository(scratch / "app")
    with machine(home, "--work-disk", "4G") as name:
        ssh = Ssh(home, name, scratch)
        there = rsync_kit.bring(home, name, scratch)
        rounds = itertools.count()

        def clean(first: Subject) -> Subject:
            """The machine has none of it before."""

            def subject() -> float:
                script = "rm -rf /root/app* /root/by-*; mkdir -p /root/by-tar; sync"
                home.banger("exec", "-w", "/", name, "--", "sh", "-c", script, timeout=600, check=True)
                return first()

            return subject

        def prepare() -> float:
            """A copy for each round: as the machine has never seen it."""
            copy = scratch / f"app{next(rounds)}"
            shutil.copytree(app, copy, symlinks=True)
            git(copy, "update-index", "-q", "--refresh")
            try:
                return timed(
                    lambda: home.banger("vm", "workspace", "prepare", name, str(copy), timeout=900, check=True)
                )
            finally:
                shutil.rmtree(copy)

        untar = [*BANGER, "exec", "-i", "-w", "/", name, "--", "tar", "-x", "-C", "/root/by-tar"]
        pipe = f"tar -C {scratch} -c app | {shlex.join(untar)}"
        shell = shlex.join(ssh.command()[:-1])
        rsync = [
            proc.find("rsync"),
            "-a",
            "-e",
            shell,
            f"--rsync-path={there}",
            str(app),
            "root@127.0.0.1:/root/by-rsync/",
        ]
        first = interleave(
            ROUNDS,
            {
                "tar": clean(program(["sh", "-c", pipe], home.env)),
                "rsync": clean(program(rsync)),
                "banger": clean(prepare),
            },
            warm=False,
        )
        home.banger("vm", "workspace", "prepare", name, str(app), timeout=900, check=True)
        again = {"again": [edited(home, name, app, number) for number in range(ROUNDS)], **first}
    return [
        compare("a first import against a tar pipe", first, "banger", "tar", "at most", 1.5),
        compare("rsync over ssh against a first import", first, "rsync", "banger", "at least", 3),
        compare("the second import against the first", again, "again", "banger", "at most", 0.1),
    ]


def edited(home: Home, name: str, app: Path, number: int) -> float:
    """Edit files, and import again: when what came before is on the machine's disk, and does not take its processor."""
    for index in range(EDITED):
        path = app / f"package{index % 20}" / f"module{index}" / f"file{number}.py"
        path.write_text(f"edited {number}\n")
    home.banger("exec", name, "--", "sync", timeout=600, check=True)
    return timed(lambda: home.banger("vm", "workspace", "prepare", name, timeout=900, check=True))
