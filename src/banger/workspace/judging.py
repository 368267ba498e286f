"""What a patch may do to the owner's tree, and what the owner should look at before it is applied.

`Judge` is asked file by file. What no patch of a repository needs is refused: names that leave the tree, lie in git's
own directory in any spelling that a file system takes for it, or lie behind a link that the patch itself makes. What
repositories do have, but somebody else's program would act on unasked, is a `Caution`.
"""

import re
from typing import NamedTuple

from banger.text import printable
from banger.workspace.lines import refused
from banger.workspace.patch import LINK, FileChange

PATH_LIMIT = 4096
NAME_LIMIT = 255

RUN = (
    (".githooks/", "git runs hooks"),
    (".husky/", "git runs hooks"),
    (".pre-commit-config.yaml", "git runs hooks"),
    ("lefthook.yml", "git runs hooks"),
    (".gitattributes", "git converts files by it"),
    (".gitmodules", "git fetches repositories by it"),
    (".envrc", "direnv runs it"),
    (".autoenv.zsh", "autoenv runs it"),
    (".mise.toml", "mise acts on it"),
    ("mise.toml", "mise acts on it"),
    (".config/mise/", "mise acts on it"),
    (".tool-versions", "mise and asdf act on it"),
    (".npmrc", "npm acts on it"),
    (".yarnrc.yml", "yarn runs what it names"),
    (".cargo/config.toml", "cargo runs what it names"),
    (".vscode/", "VS Code acts on it"),
    (".idea/", "JetBrains' editors act on it"),
    (".run/", "JetBrains' editors act on it"),
    (".zed/", "Zed acts on it"),
    (".devcontainer/", "editors build and run what it says"),
    (".devcontainer.json", "editors build and run what it says"),
    (".dir-locals.el", "Emacs acts on it"),
    (".exrc", "Vim acts on it"),
    (".nvim.lua", "Neovim acts on it"),
    (".gdbinit", "gdb acts on it"),
    (".lldbinit", "lldb acts on it"),
    (".mcp.json", "coding agents run what it names"),
    (".claude/", "coding agents act on it"),
    (".cursor/", "coding agents act on it"),
    (".github/workflows/", "GitHub runs it"),
    (".gitlab-ci.yml", "GitLab runs it"),
)
"""Files, and directories with all that is in them, at any depth; and who acts on them without being asked to build,
test or run the project. What a build, a test or the project itself runs is not on it: it may be any file."""

_RUN = [(re.compile(r"(?:^|/)" + re.escape(name) + ("" if name.endswith("/") else "$")), who) for name, who in RUN]

_INVISIBLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
"""What HFS+ leaves out of names."""

_GIT = re.compile(r"(?:\.git|git~[0-9]+)[. ]*(?::.*)?", re.DOTALL)
_GITS_FILES = re.compile(r"\.(?:gitmodules|gitattributes|gitignore|mailmap)[. ]*(?::.*)?", re.DOTALL)


class Caution(NamedTuple):
    """A file to look at before the patch is applied."""

    path: bytes
    reason: str


class Judge:
    """Judges the files of one patch: `take` each, then `close`. One that is not ``strict`` only warns."""

    def __init__(self, strict: bool = True) -> None:
        self._strict = strict
        self.cautions: list[Caution] = []
        self._made: set[bytes] = set()
        self._gone: set[bytes] = set()
        self._links: set[bytes] = set()

    def take(self, change: FileChange) -> None:
        """Raises `errors.UnsafePatch`; what is only to be looked at is added to `cautions`."""
        for path in (change.path, change.source):
            if path is not None and (reason := fault(path)) is not None:
                self._refuse(path, reason)
        seen = self._gone if change.status == "D" else self._made
        if change.path in seen:
            self._refuse(change.path, "the patch changes it twice")
        seen.add(change.path)
        if change.status == "D":
            return
        if change.mode == LINK:
            self._link(change.path, change.target or b"")
        if (who := acts(change.path)) is not None:
            self.cautions.append(Caution(change.path, who))

    def _refuse(self, path: bytes, reason: str) -> None:
        if self._strict:
            raise refused(path, reason)
        self.cautions.append(Caution(path, f"an export refuses it: {reason}"))

    def _link(self, path: bytes, target: bytes) -> None:
        if not target or b"\0" in target:
            self._refuse(path, "it is a link to nothing")
        if _GITS_FILES.fullmatch(_folded(path.rpartition(b"/")[2])):
            self._refuse(path, "git follows no link of this name")
        self._links.add(path)
        parts = [each for each in target.split(b"/") if each not in (b"", b".")]
        up = next((index for index, part in enumerate(parts) if part != b".."), len(parts))
        above = path.split(b"/")[:-1]
        leads = above[: max(0, len(above) - up)] + parts[up:]
        if any(_is_git(part) for part in leads):
            self._refuse(path, "it is a link into git's own directory")
        if target.startswith(b"/") or up > len(above) or b".." in parts[up:]:
            self.cautions.append(Caution(path, f"a link out of the tree, to {printable(target, 200)}"))

    def close(self) -> None:
        """Judge the patch as a whole. Raises `errors.UnsafePatch`."""
        for path in self._made if self._links else ():
            parts = path.split(b"/")
            if any(b"/".join(parts[:length]) in self._links for length in range(1, len(parts))):
                self._refuse(path, "it lies behind a link that the patch makes")


def fault(path: bytes) -> str | None:
    """Why a patch may not name a path, or None."""
    parts = path.split(b"/")
    if path.startswith(b"/") or path == b"":
        return "it is no path in the tree"
    if b"\0" in path or len(path) > PATH_LIMIT or any(len(part) > NAME_LIMIT for part in parts):
        return "no file system has such a name"
    if any(part in (b"", b".", b"..") for part in parts) or b".." in path.split(b"\\"):
        return "it leads out of the tree"
    if any(_is_git(part) for part in parts):
        return "it lies in git's own directory"
    return None


def acts(path: bytes) -> str | None:
    """Who acts on a file unasked, in words for the owner, or None."""
    text = _folded(path)
    return next((who for name, who in _RUN if name.search(text)), None)


def _folded(name: bytes) -> str:
    """A name as file systems compare it that know no case."""
    return _INVISIBLE.sub("", name.decode("utf-8", "surrogateescape")).lower()


def _is_git(part: bytes) -> bool:
    """Whether some file system takes a name for ``.git``; a backslash divides names there."""
    return any(_GIT.fullmatch(each) for each in _folded(part).split("\\"))
