"""A patch of files that a machine without git has sent, made by this host's git from copies of them.

Nothing of the guest's is executed or believed: its ``.git`` is not among the files (`Filter`), and git works in a
repository of ours, whose settings are ours; the owner's objects are read through it, and nothing is written there. What
the files' ``.gitattributes`` say names no program, because programs are named in settings.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping

from banger import errors
from banger.workspace import listing, repository
from banger.workspace.git import PACK_SECONDS, Git
from banger.workspace.judging import is_git
from banger.workspace.listing import Entry, Listing
from banger.workspace.repository import Repository
from banger.workspace.tree import Tree

PIECE = 1 << 20

_SPECIAL = re.compile(r"([\\*?\[\] ])")


class Filter:
    """Which names of an archive are unpacked; used as `banger.sdk.archive.Rename`."""

    def __init__(self) -> None:
        self.repositories: set[str] = set()
        """Directories that have a ``.git`` of their own."""

    def __call__(self, name: str) -> str | None:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for depth, part in enumerate(parts):
            if is_git(os.fsencode(part)):
                if depth:
                    self.repositories.add("/".join(parts[:depth]))
                return None
        return "/".join(parts) or "."


class Scratch:
    """A directory of ours: the files below ``tree``, and a repository that knows the owner's objects."""

    def __init__(self, directory: str, source: Repository) -> None:
        self.tree = os.path.join(directory, "tree")
        self._own = os.path.join(directory, "git")
        self._source = source
        self._git = Git(directory)
        os.mkdir(self.tree)
        self._run("init", "-q", "--bare", "--template=", f"--object-format={source.format}", self._own, place=False)
        os.makedirs(os.path.join(self._own, "objects", "info"), exist_ok=True)
        os.makedirs(os.path.join(self._own, "info"), exist_ok=True)
        with open(os.path.join(self._own, "objects", "info", "alternates"), "wb") as file:
            file.write(os.fsencode(source.objects) + b"\n")

    def _run(self, *words: str, input: bytes = b"", top: str | None = None, place: bool = True) -> bytes:
        env = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
        if place:
            env |= {"GIT_DIR": self._own, "GIT_WORK_TREE": top or self.tree}
        settings = [
            word
            for key in ("core.autocrlf", "core.eol")
            if (value := repository.config(self._source.git, key)) and place
            for word in ("-c", f"{key}={value}")
        ]
        settings += ["-c", "core.bare=false", "-c", "core.bigFileThreshold=64m", "-c", "core.safecrlf=false"]
        done = self._git.attempt(*settings, *words, input=input, env=env, timeout=PACK_SECONDS)
        if done.status != 0:
            raise self._git.refusal(done.stderr)
        return done.stdout

    def base(self, commit: str | None, imported: Listing | None = None, when: float = 0.0) -> str:
        """The tree to compare with: a commit's, or what an import brought on top of it, which began at ``when``.

        A file that is as the import left it is its own base; of one that is not, it is the owner's, if that is still as
        it was then, or else the commit's.
        """
        if commit is not None:
            self._run("read-tree", commit)
        if imported is not None:
            names = {name for name in imported if not name.startswith(b".git/")}
            old = [name for name in names if imported[name].mtime_ns < (int(when) - 1) * 1_000_000_000]
            theirs, ours = set(_same(self.tree, imported, old)), set(_same(self._source.top, imported, names))
            committed = listing.committed(self._source, commit) if commit is not None else {}
            self._run("update-index", "--force-remove", "-z", "--stdin", input=_joined(committed.keys() - names))
            self._enter(theirs)
            self._enter(ours - theirs, self._source.top)
        return self._run("write-tree").decode().strip()

    def _enter(self, names: Iterable[bytes], top: str | None = None) -> None:
        words = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        self._run(*words, input=_joined(names), top=top)

    def patch(self, base: str, without: Iterable[str]) -> Iterator[bytes]:
        """What `base` has become, in pieces; ``without`` these directories."""
        with open(os.path.join(self._own, "info", "exclude"), "wb") as file:
            for each in without:
                if "\n" not in each:
                    file.write(os.fsencode("/" + _SPECIAL.sub(r"\\\1", each) + "/\n"))
        self._run("update-index", "-q", "--refresh", "--add", "--remove", input=b"")
        new = self._run("ls-files", "--others", "--exclude-standard", "-z")
        self._enter(new.split(b"\0")[:-1])
        output = os.path.join(self._own, "patch")
        self._run(
            "diff-index", "-p", "--binary", "--full-index", "-M", "--no-color", "--no-ext-diff", "--no-textconv",
            "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules=all", f"--output={output}", base, "--",
        )  # fmt: skip
        with open(output, "rb") as patch:
            while piece := patch.read(PIECE):
                yield piece


def _joined(names: Iterable[bytes]) -> bytes:
    return b"".join(name + b"\0" for name in sorted(names))


def _same(top: str, imported: Mapping[bytes, Entry], names: Iterable[bytes]) -> Iterator[bytes]:
    """The names that are below ``top`` as the import had them, by size and time: in the seconds about the import that
    says nothing of a machine's. No link is followed on the way."""
    with Tree(os.fsencode(top)) as tree:
        for name in sorted(names):
            entry, status = imported[name], tree.lstat(name)
            if status is None or status.st_size != entry.size or stat.S_IFMT(status.st_mode) != stat.S_IFMT(entry.mode):
                continue
            alike = (status.st_mode ^ entry.mode) & 0o100 == 0 or stat.S_ISLNK(entry.mode)
            if alike and status.st_mtime_ns // 1_000_000_000 == entry.mtime_ns // 1_000_000_000:
                yield name


def resolved(source: Repository, base: str) -> str:
    """A commit of the owner's repository. Raises `errors.NotFound`."""
    found = repository.commit(source.git, base)
    if found is None:
        missing = errors.NotFound(kind="commit", name=base)
        missing.advise(f"{source.top} does not have it")
        raise missing
    return found
