"""What was changed in a machine's workspace, as a patch for ``git apply``.

The patch is made in the machine by its git (`banger.workspace.guest_git`), from a base: what was imported, with the
edits that were in no commit then (`mark`), unless another is asked for. It is the guest's word. So it is read here as
it comes, and what is not a patch, or would touch what it must not, raises `errors.UnsafePatch`; nothing of it should
be used before the whole has been read, which `save` and `text` see to.
"""

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from banger import errors
from banger.api import routes
from banger.sdk.client import Client
from banger.sdk.exec import STDOUT, Command
from banger.text import printable
from banger.workspace import guest_git
from banger.workspace.judging import Caution, Judge
from banger.workspace.patch import FileChange, Limits, Show, parse

if TYPE_CHECKING:
    from banger.api.workspace import Workspace

SAID_LIMIT = 4096

_AS_OWNER: dict[str, object] = {"user": "0", "cwd": "/"}
"""A workspace is root's."""


class Patch(NamedTuple):
    """What was changed."""

    base: str
    """Id of the commit or tree that it begins from."""
    files: list[FileChange]
    cautions: list[Caution]
    """What to look at before it is applied."""
    left_out: list[bytes]
    """Repositories within the repository."""
    size: int
    """Bytes of the patch."""
    content: bytes | None = None
    """The patch, for ``git apply``, where it was asked for in memory."""


class Answer(NamedTuple):
    """What a machine says that was changed."""

    base: str
    """Id of the commit or tree that the patch begins from."""
    left_out: list[bytes]
    """Repositories within the repository."""
    patch: Iterator[bytes]


class _Question(NamedTuple):
    """Of which machine and which repository in it, and since when: the first of the bases that is there."""

    vm: str
    path: str
    bases: tuple[str, ...]
    record: dict[str, Any] | None
    """Of the workspace, where it is asked about that."""


def save(
    client: Client,
    vm: str,
    file: str,
    *,
    base: str | None = None,
    path: str | None = None,
    limits: Limits | None = None,
) -> Patch:
    """Write the patch to ``file`` of this host, all or nothing; what has that name is replaced, a link too.

    Raises as `read`, besides `errors.NoSuchPath`, `errors.UsageError` and `errors.DiskFull` for the file.
    """
    with _replacing(file) as output:
        return read(client, vm, base=base, path=path, limits=limits, keep=output.write)


def text(
    client: Client, vm: str, *, base: str | None = None, path: str | None = None, limits: Limits | None = None
) -> Patch:
    """The patch in memory. Raises as `read`."""
    kept = bytearray()
    found = read(client, vm, base=base, path=path, limits=limits, keep=kept.extend)
    return found._replace(content=bytes(kept))


def read(
    client: Client,
    vm: str,
    *,
    base: str | None = None,
    path: str | None = None,
    limits: Limits | None = None,
    keep: Callable[[bytes], object] | None = None,
    show: Show | None = None,
    strict: bool = True,
) -> Patch:
    """Have the patch made, and read it to its end.

    ``base`` is a commit of the machine's repository, the imported one when left out; ``path`` the repository in the
    machine, the recorded workspace when left out. ``keep`` is given the patch piece by piece, ``show`` line by line,
    both before the whole has been judged. What the patch must not do raises; where it is not ``strict`` it is among
    the cautions, for who only looks at it.

    Raises `errors.UnsafePatch`, `errors.NoWorkspace`, `errors.NotFound` (no such commit), `errors.NoSuchPath` (no
    repository), `errors.CommandFailed` and what `Command` does.
    """
    question = _question(client, vm, base, path)
    bounds = limits or Limits()
    size, judge, files = 0, Judge(strict), []

    def kept(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            if keep is not None and size <= bounds.size:
                keep(piece)
            yield piece

    with contextlib.ExitStack() as stack:
        try:
            answer = stack.enter_context(_asked(client, question))
        except errors.CommandNotFound:  # git, or the shell
            if question.record is None:
                raise
            from banger.sdk import fetched  # half of what an export loads, where there is git

            answer = stack.enter_context(fetched.compared(client, vm, question.record, base))
        for change in parse(kept(answer.patch), bounds, show):
            judge.take(change)
            files.append(change)
    judge.close()
    return Patch(answer.base, files, judge.cautions, answer.left_out, size)


def mark(client: Client, vm: str, workspace: "Workspace", last: "Workspace | None", names: Iterable[bytes]) -> None:
    """Have the machine's git keep what an import brought that is in no commit, so that an export begins from there.

    ``names`` are those of `guest_git.mark`. A machine that cannot is left alone: its exports begin from the commit.
    """
    argv = guest_git.mark(workspace.path, workspace.id, last.id if last else None, (last or workspace).commit)
    request = {**_AS_OWNER, "argv": argv, "stdin": True}
    cannot = contextlib.suppress(errors.CommandNotFound, errors.CommandNotExecutable, errors.GuestRefused)
    with cannot, client.vm_exec(vm, request) as command:
        command.write(b"".join(name + b"\0" for name in names))
        command.close_stdin()
        command.wait()


def _question(client: Client, vm: str, base: str | None, path: str | None) -> _Question:
    record: dict[str, Any] | None = client.document(routes.VM_SHOW, vm).get("workspace")
    if base is not None and (not base or base.startswith(("-", ":")) or "\0" in base):
        raise errors.UsageError(detail=f"{base!r} is no commit's name")
    if record is None and path is None:
        missing = errors.NoWorkspace(name=vm)
        missing.advise("'banger vm workspace prepare' imports a repository; --guest-path names one that is there")
        raise missing
    bases: tuple[str, ...]
    if base is not None:
        bases = (base,)
    elif record is None or path not in (None, record["path"]):
        bases = ("HEAD", guest_git.EMPTY)
    elif not record["complete"]:
        raise errors.UsageError(detail=f"the import into {vm} broke off: repeat it, or say --base-commit")
    else:
        bases = (guest_git.IMPORTED + record["id"], record["commit"] or guest_git.EMPTY)
    place = path or record["path"] if record else str(path)
    return _Question(vm, place, bases, record if record and place == record["path"] else None)


@contextlib.contextmanager
def _asked(client: Client, question: _Question) -> Iterator[Answer]:
    """The machine's git, while it answers."""
    argv = guest_git.changes(question.path, question.bases)
    with client.vm_exec(question.vm, {**_AS_OWNER, "argv": argv}) as command:
        said = _said(command, question)
        held = bytearray()
        while b"\n\n" not in held:
            held += next(said, b"\n\n")
            if len(held) > guest_git.HEAD_LIMIT:
                raise guest_git.not_understood()
        head, _, rest = bytes(held).partition(b"\n\n")
        base, left_out = guest_git.head(head)

        def patch() -> Iterator[bytes]:
            yield rest
            yield from said

        yield Answer(base, left_out, patch())


def _said(command: Command, question: _Question) -> Iterator[bytes]:
    """What the command writes to its stdout. Raises for a command that did not end well, at its end."""
    complaint = bytearray()
    for stream, data in command:
        if stream == STDOUT:
            yield data
        else:
            complaint += data[: SAID_LIMIT - len(complaint)]
    if command.exit_code != 0:
        raise _failure(command, question, bytes(complaint))


def _failure(command: Command, question: _Question, complaint: bytes) -> errors.BangerError:
    missing: errors.BangerError
    if command.exit_code == guest_git.NO_REPOSITORY:
        return errors.NoSuchPath(kind="git repository", path=f"{question.vm}:{question.path}")
    if command.exit_code == guest_git.NO_BASE:
        missing = errors.NotFound(kind="commit", name=question.bases[-1])
        missing.advise(f"{question.vm}:{question.path} does not have it; --base-commit names another")
        return missing
    if command.exit_code == guest_git.NO_GIT:
        missing = errors.CommandNotFound(command="git")
        missing.advise("the machine needs git for this; 'banger cp' brings files out without it")
        return missing
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    ending = f"was killed by signal {command.signal}" if command.signal else f"ended with status {command.exit_code}"
    return errors.CommandFailed(
        command=f"git in {question.vm}",
        ending=ending,
        stderr=printable(lines[-1]) if lines else "it said nothing",
        exit_code=command.exit_code,
        signal=command.signal,
    )


@contextlib.contextmanager
def _replacing(file: str) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``file`` when the block ends well, and otherwise is gone."""
    directory = os.path.dirname(os.path.abspath(file))
    if os.path.lexists(file) and stat.S_IFMT(os.lstat(file).st_mode) not in (stat.S_IFREG, stat.S_IFLNK):
        raise errors.UsageError(detail=f"{file} is not a file")
    if not os.path.isdir(directory):
        raise errors.NoSuchPath(kind="directory", path=directory)
    try:
        descriptor, beside = _fresh(directory)
    except PermissionError as error:
        raise errors.UsageError(detail=f"{directory}: you may not write there") from error
    except OSError as error:
        raise errors.from_os(error, directory) from error
    try:
        with open(descriptor, "wb") as output:
            yield output
            os.fchmod(descriptor, 0o666 & ~_umask())
            output.flush()
            beside = beside or _named(descriptor, directory)
        os.replace(beside, file)
    except BaseException as error:
        if beside is not None:
            os.unlink(beside)
        if isinstance(error, OSError):
            raise errors.from_os(error, file) from error
        raise


def _fresh(directory: str) -> tuple[int, str | None]:
    """A file in a directory: without a name where its file system has such, so that who is killed leaves nothing."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600), None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        return tempfile.mkstemp(dir=directory, prefix=".banger-")


def _named(descriptor: int, directory: str) -> str:
    """Give a file of `_fresh` a name for the moment before it gets its own (open(2), O_TMPFILE)."""
    beside = os.path.join(directory, f".banger-{secrets.token_hex(8)}")
    os.link(f"/proc/self/fd/{descriptor}", beside, src_dir_fd=descriptor)  # which has it follow the first name
    return beside


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
