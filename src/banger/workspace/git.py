"""Questions to git about a repository that nobody vouches for.

A repository's own configuration may name programs: filters, hooks, a file system monitor, a pager, aliases, ways to
fetch. None of them is executed by what is asked here, because no question makes git hash a working file, refresh the
index, show a difference or fetch; the rest is switched off besides. Nothing is written into the repository.
"""

import os
import re
from collections.abc import Mapping

from banger import errors, proc
from banger.text import printable

QUESTION_SECONDS = 120.0
PACK_SECONDS = 3600.0

OPTIONS = (
    "--no-pager", "--no-optional-locks", "--literal-pathspecs",
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false",
    "-c", "core.alternateRefsCommand=", "-c", "protocol.allow=never", "-c", "submodule.recurse=false",
    "-c", "gc.auto=0", "-c", "maintenance.auto=false",
)  # fmt: skip

ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "", "GIT_ASKPASS": "true", "GIT_SSH_COMMAND": "false",
}  # fmt: skip

_OTHERS = re.compile(rb"dubious ownership|unsafe repository")


class Git:
    """Asks about the repository that ``directory`` is in. The environment's GIT_* variables count for nothing."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def argv(self, *words: str) -> list[str]:
        return ["git", "-C", self.directory, *OPTIONS, *words]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """``SUDO_UID`` lets root read the repositories of who called sudo, as git(1) does by itself."""
        kept = {name: os.environ[name] for name in ("SUDO_UID",) if name in os.environ}
        return {**ENVIRONMENT, **kept, **(extra or {})}

    def ask(
        self,
        *words: str,
        input: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = QUESTION_SECONDS,
        mortal: bool = False,
    ) -> bytes:
        """What git says. Raises `errors.NoRepository` where it refuses, `errors.ToolMissing`, `errors.TimedOut`."""
        done = self.attempt(*words, input=input, env=env, timeout=timeout, mortal=mortal)
        if done.status != 0:
            raise self.refusal(done.stderr)
        return done.stdout

    def attempt(
        self,
        *words: str,
        input: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout: float = QUESTION_SECONDS,
        mortal: bool = False,
    ) -> proc.Result:
        """As `ask`, whatever the status."""
        argv = self.argv(*words)
        return proc.answer(argv, timeout=timeout, input=input, env=self.environment(env), mortal=mortal)

    def refusal(self, said: bytes) -> errors.NoRepository:
        """Why git does not answer, in plain words where they are known."""
        if _OTHERS.search(said):
            failed = errors.NoRepository(
                path=printable(self.directory),
                reason="the repository belongs to another user, so git refuses to read it",
            )
            failed.advise("if you trust its owner: git config --global --add safe.directory DIRECTORY (git-config(1))")
            return failed
        if b"not a git repository" in said:
            failed = errors.NoRepository(path=printable(self.directory), reason="not inside a git repository")
            failed.advise("make it one with 'git init', or copy the files with 'banger cp'")
            return failed
        last = said.strip().splitlines()[-1:] or [b"it says nothing"]
        reason = printable(last[0].removeprefix(b"fatal: ").removeprefix(b"error: "))
        return errors.NoRepository(path=printable(self.directory), reason=f"git refuses: {reason}")
