"""Repositories of every kind, and a machine whose /root is a directory of this host: the agent is the real one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import proc
from banger.api.workspace import Workspace
from banger.sdk import workspace
from banger.sdk.client import Client
from tests import fakes
from tests.home import Home, make_home, passable
from tests.repositories import clone, commit, git, repository, write

VM = "one"


class Repo:
    """A repository of this host's, driven as its owner would."""

    def __init__(self, top: Path, *init: str) -> None:
        self.top = top
        if init or not (top / ".git").exists():
            top.mkdir(parents=True, exist_ok=True)
            self.git("init", "-q", "-b", "main", *init)
            self.git("config", "user.name", 'Ada "L" Ünï')
            self.git("config", "user.email", "ada@example.org")

    def git(self, *words: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        argv = [proc.find("git"), "-c", "safe.directory=*", "-c", "gc.auto=0", "-C", str(self.top), *words]
        whole = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
        done = subprocess.run(argv, capture_output=True, check=False, env=whole)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape")

    def write(self, name: str, content: str | bytes = "content\n", mode: int = 0o644) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def commit(self, message: str = "change", **files: str) -> str:
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def status(self) -> list[str]:
        return [each for each in self.git("status", "--porcelain", "-z").split("\0") if each]


class Scene:
    """A machine, and what is at /root in it."""

    def __init__(self, home: Home, client: Client, root: Path) -> None:
        self.home = home
        self.client = client
        self.root = root

    def prepare(self, repo: Repo | None = None, vm: str = VM, **options: object) -> Workspace:
        path = str(repo.top) if repo is not None else None
        return workspace.prepare(self.client, vm, path, **options)  # type: ignore[arg-type]

    @property
    def workspace(self) -> Workspace:
        found = self.client.vm_show(VM).workspace
        assert found is not None
        return found

    def guest(self, name: str = "app") -> Repo:
        return Repo(self.root / name)


@pytest.fixture(scope="session")
def fake_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with passable(tmp_path_factory.mktemp("workspaces")) as directory, make_home(directory) as home:
        fakes.prepare(home)
        yield home


@pytest.fixture
def scene(fake_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The machine's files belong to whom its agent is; everybody may read them, and under root change them."""
    with passable(tmp_path) as place:
        root = place / "root"
        root.mkdir()
        if os.geteuid() == 0:
            root.chmod(0o777)  # the agent is nobody there
        monkeypatch.setattr(workspace, "HOME", str(root))
        monkeypatch.setenv("BANGER_CACHE_DIR", str(tmp_path / "cache"))
        with Client(fake_home.paths.socket) as client:
            client.wait(client.vm_create(fakes.request(VM)))
            try:
                yield Scene(fake_home, client, root)
            finally:
                client.wait(client.vm_delete(VM))


@pytest.fixture
def app(tmp_path: Path) -> Repo:
    """A repository with a dozen commits, called ``app``."""
    repo = Repo(tmp_path / "src" / "app")
    for number in range(12):
        repo.commit(f"commit {number}", file=f"{number}\n", **{f"deep/er/{number}": "x\n"})
    return repo


# -- one repository on both sides --------------------------------------------------------------------------------------

NAMES = [
    "a b",
    'q"uote',
    "new\nline",
    "tab\tbed",
    "ünï",
    "back\\slash",
    "-dash",
    "'",
    "$(x)",
    "*",
    ":(top)x",
    " ",
    "b/x b/y",
]
FILES: dict[str | bytes, bytes] = {
    "text": b"one\ntwo\nthree\n" * 20, "crlf": b"a\r\nb\r\n", "open": b"no end", "empty": b"",
    "bin": bytes(range(256)) * 40, "latin": "gr\xfc\xdfe\n".encode("latin-1"),
    "sub/deep/er": b"deep\n", "gone": b"gone\n", "tool": b"#!/bin/sh\n",
    ".gitignore": b"*.log\nbuild/\n", "moved": b"".join(b"%d\n" % n for n in range(200)), "kind": b"a file\n",
    **{name: b"content of " + name.encode() + b"\n" for name in NAMES},
}  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Path:
    made = repository(tmp_path / "host", FILES)
    (made / "link").symlink_to("text")
    (made / "pointer").symlink_to("sub/deep")
    commit(made)
    return made


@pytest.fixture
def guest(host: Path, tmp_path: Path) -> Path:
    return clone(host, tmp_path / "guest")


def everything(guest: Path) -> None:
    """One change of each kind."""
    for name in ("text", "crlf", "bin", "latin", "sub/deep/er", *NAMES):
        (guest / name).write_bytes((guest / name).read_bytes() + b"more\r\n")
    write(guest, {f"new {name}" if "/" not in name else "n/ew": b"new" for name in NAMES})
    write(guest, {"new/deep/bin": os.urandom(70_000), "new/empty": b"", "new/open": b"x", b"not-utf8-\xff": b"y\n"})
    (guest / "open").write_bytes(b"no end either")
    (guest / "empty").write_bytes(b"not any more\n")
    (guest / "gone").unlink(missing_ok=True)
    (guest / "tool").chmod(0o755)
    (guest / "link").unlink()
    (guest / "link").symlink_to("crlf")
    (guest / "new link").symlink_to("no end\nhere")
    git(guest, "mv", "moved", "sub/moved on")
    (guest / "kind").unlink()
    (guest / "kind").symlink_to("text")
    (guest / "pointer").unlink()
    write(guest, {"pointer/file": b"was a link\n", "pointer/script": b"#!/bin/sh\n"})
    (guest / "pointer/script").chmod(0o755)
