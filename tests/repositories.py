"""Repositories on this host: the owner's, and one that plays a guest's. Needs git."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from banger.workspace import guest_git
from banger.workspace.patch import FileChange
from tests.patches import read

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x",
}  # fmt: skip


def git(where: Path, *words: str, data: bytes | None = None, check: bool = True) -> bytes:
    done = subprocess.run(["git", *words], cwd=where, env=ENVIRONMENT, input=data, capture_output=True, check=False)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout if check else done.stdout + done.stderr


def repository(where: Path, files: Mapping[str | bytes, bytes]) -> Path:
    """A repository with one commit of these files."""
    where.mkdir(parents=True)
    git(where, "init", "-q", "-b", "main")
    write(where, files)
    commit(where)
    return where


def write(where: Path, files: Mapping[str | bytes, bytes]) -> None:
    for name, content in files.items():
        path = os.path.join(os.fsencode(where), name if isinstance(name, bytes) else name.encode())
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def commit(where: Path) -> str:
    git(where, "add", "-A")
    git(where, "commit", "-q", "--allow-empty", "-m", "commit")
    return head(where)


def head(where: Path) -> str:
    return git(where, "rev-parse", "HEAD").decode().strip()


def clone(source: Path, where: Path) -> Path:
    """What an import makes of it in a guest."""
    git(source.parent, "clone", "-q", str(source), str(where))
    return where


def ask(guest: Path, *bases: str, env: Mapping[str, str] | None = None) -> tuple[int, bytes, bytes]:
    """Status and output of the script for guests."""
    argv = guest_git.changes(str(guest), bases or ("HEAD",))
    done = subprocess.run(argv, env={**ENVIRONMENT, **(env or {})}, capture_output=True, check=False, cwd="/")
    return done.returncode, done.stdout, done.stderr


def taken(guest: Path, *bases: str) -> tuple[bytes, list[FileChange]]:
    """The patch of what was changed, and what was read of it."""
    status, answer, said = ask(guest, *bases)
    assert status == 0, said.decode()
    before, _, patch = answer.partition(b"\n\n")
    guest_git.head(before)
    return patch, read(patch)[0]


def apply(host: Path, patch: bytes) -> None:
    if patch:
        git(host, "apply", "--binary", "-", data=patch)
