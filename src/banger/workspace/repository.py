"""What a repository of this host is, and whether it can be imported. Nothing is read but what git knows of it."""

import os
import re
import stat
from dataclasses import dataclass

from banger import errors
from banger.text import printable
from banger.workspace.git import Git

_URL = re.compile(r"(?P<scheme>https?|ssh|git|file)://(?P<user>[^/]*@)?(?P<rest>[^?#\s]*)", re.IGNORECASE)
_SCP = re.compile(r"(?P<host>[A-Za-z0-9_.@-]+):(?P<path>(?!:|//)[^\s]+)")


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree."""

    git: Git
    top: str
    """Its working tree's directory, absolute, without links."""
    below: str
    """Where the path that was given is in it; empty for the top."""
    objects: str
    """The directory of its objects."""
    format: str
    """``sha1`` or ``sha256``."""
    head: str | None
    """The commit that is checked out; None before the first one."""
    branch: str | None
    """None where HEAD is detached."""
    partial: bool
    """Objects are missing, which git would fetch: of old commits at least."""
    shallow: frozenset[str]
    """Commits whose parents it does not have."""

    @property
    def name(self) -> str:
        """What its directory in a machine is called: as here, without dots in front, which could be a program's own."""
        return os.path.basename(self.top).lstrip(".") or "repository"


def find(path: str) -> Repository:
    """The repository that a path is in. Raises `errors.NoSuchPath`, `errors.NoRepository`, `errors.ToolMissing`."""
    if not os.path.lexists(path):
        raise errors.NoSuchPath(kind="directory", path=path)
    if not os.path.isdir(path):
        raise refused(path, "not a directory")
    place = os.path.realpath(path)
    git = Git(place)
    inside = git.ask("rev-parse", "--is-bare-repository", "--is-inside-work-tree").split()
    if inside != [b"false", b"true"]:
        bare = inside[0] == b"true"
        raise refused(path, "a bare repository: it has no files to work with" if bare else "inside a .git directory")
    top = _one(git, "rev-parse", "--show-toplevel")
    if not _holds(top, place):
        raise refused(path, f"its repository says that its files are elsewhere ({printable(top)})")
    _text(top)
    git = Git(top)
    if git.attempt("ls-files", "-z", "--error-unmatch", "--", ".gitmodules").status == 0:
        raise refused(path, "a repository with submodules, which cannot be imported")
    return Repository(
        git=git,
        top=top,
        below=os.path.relpath(place, top) if place != top else "",
        objects=os.path.join(top, git_path(git, "objects")),
        format=_one(git, "rev-parse", "--show-object-format"),
        head=commit(git, "HEAD"),
        branch=_branch(git),
        partial=bool(config(git, "extensions.partialclone")),
        shallow=_shallow(os.path.join(top, git_path(git, "shallow"))),
    )


def refused(path: str, reason: str) -> errors.NoRepository:
    return errors.NoRepository(path=printable(path), reason=reason)


def commit(git: Git, name: str) -> str | None:
    """The commit that a name means; None for one that means none. A name that looks like an option is none."""
    done = git.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    found = done.stdout.decode("ascii", "replace").split()
    return found[-1] if done.status == 0 and found else None


def check_branch(git: Git, name: str) -> None:
    """Raises `errors.UsageError` for what git takes for no branch's name."""
    if git.attempt("check-ref-format", f"refs/heads/{name}").status != 0 or name.startswith("-"):
        raise errors.UsageError(detail=f"{printable(name)!r} cannot be the name of a branch")


def config(git: Git, key: str) -> str:
    """A value of the configuration that counts for the repository; empty where there is none."""
    done = git.attempt("config", "--null", "--get", key)
    value = done.stdout.partition(b"\0")[0] if done.status == 0 else b""
    return value.decode("utf-8", "replace")


def origin(git: Git) -> str:
    """The URL of the remote ``origin`` without what could be a secret; empty where there is none that can be told."""
    url = config(git, "remote.origin.url")
    if not url.isprintable():
        return ""
    if found := _URL.fullmatch(url.partition("?")[0].partition("#")[0]):
        user = (found["user"] or "").partition(":")[0].rstrip("@")
        keeps = found["scheme"].lower() == "ssh" and user
        return f"{found['scheme']}://{user + '@' if keeps else ''}{found['rest']}"
    return url if url.startswith("/") or _SCP.fullmatch(url) else ""


def git_path(git: Git, name: str) -> str:
    """Where git keeps a file of its own, from the top."""
    return _one(git, "rev-parse", "--git-path", name)


def _one(git: Git, *words: str) -> str:
    return os.fsdecode(git.ask(*words).removesuffix(b"\n"))


def _text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise refused(path, "its path is not UTF-8") from None


def _holds(top: str, place: str) -> bool:
    return os.path.realpath(top) == top and os.path.commonpath((top, place)) == top


def _branch(git: Git) -> str | None:
    done = git.attempt("symbolic-ref", "--quiet", "HEAD")
    name = done.stdout.decode("utf-8", "replace").strip()
    return name.removeprefix("refs/heads/") if done.status == 0 and name.startswith("refs/heads/") else None


def _shallow(path: str) -> frozenset[str]:
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return frozenset()
            return frozenset(file.read().decode("ascii", "replace").split())
    except FileNotFoundError:
        return frozenset()
