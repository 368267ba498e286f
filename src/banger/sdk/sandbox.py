"""A machine for the length of a ``with`` block.

    from banger import Sandbox

    with Sandbox(image="debian-bookworm", memory="512M") as box:
        print(box.exec(["uname", "-a"], check=True).text)

The machine is ephemeral and held by an open connection: when the block ends, or the program dies in whatever way,
it is deleted. With ``keep`` it stays.
"""

import contextlib
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from banger import errors
from banger.config.sizes import parse_size
from banger.sdk.change import hold
from banger.sdk.client import Client
from banger.sdk.exec import STDOUT, Command
from banger.text import printable

if TYPE_CHECKING:
    from banger.api.operation import Operation
    from banger.api.vm import Health, Vm
    from banger.api.workspace import Workspace
    from banger.sdk.export import Patch
    from banger.sdk.sessions import Sessions
    from banger.sdk.transport import Reply
    from banger.sdk.workspace import Watch

OUTPUT_LIMIT = 64 << 20


class Result(NamedTuple):
    """How a command ended and what it said."""

    exit_code: int | None
    """0 to 255; None when a signal or the time limit ended it."""
    signal: int | None
    timed_out: bool
    stdout: bytes
    stderr: bytes
    truncated: bool
    """More was said than `Sandbox.exec` was allowed to keep."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """Stdout as text; bytes that are not UTF-8 are replaced."""
        return self.stdout.decode("utf-8", "replace")


class Sandbox:
    """A machine that is there while the block runs.

    ``image`` and ``kernel`` are names (the defaults when left out; made first where they are missing), ``vcpu`` is
    a number of processors, ``memory``, ``disk_size`` and ``work_disk_size`` (of the disk on ``/root``) are bytes or
    texts such as ``"512M"``, ``nat`` and ``peers`` say what its network reaches,
    ``publish`` which ports of the host lead into it (``"8080:80"``), ``env`` is set for every command,
    ``labels`` are to find it by. After ``ttl`` seconds it is ended, whatever this program does (`keep_alive`). ``keep``
    leaves the machine behind at the end. ``client`` is used instead of one of its own. ``watch`` is called with every
    step of creating the machine.

    Entering raises what creating and starting a machine can: `errors.NotFound`, `errors.InvalidReference`,
    `errors.SourceUnavailable`, `errors.DiskFull`, `errors.VmmFailed`, `errors.GuestSilent` and others.
    """

    def __init__(
        self,
        image: str | None = None,
        *,
        name: str | None = None,
        kernel: str | None = None,
        vcpu: int | None = None,
        memory: int | str | None = None,
        disk_size: int | str | None = None,
        work_disk_size: int | str | None = None,
        nat: bool | None = None,
        peers: bool | None = None,
        publish: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
        keep: bool = False,
        client: Client | None = None,
        watch: "Callable[[Operation], None] | None" = None,
    ) -> None:
        from banger.api.vm import CreateVm

        self._request: CreateVm | None = CreateVm(
            name=name,
            image=image,
            kernel=kernel,
            vcpu=vcpu,
            memory=parse_size(memory) if isinstance(memory, str) else memory,
            disk_size=parse_size(disk_size) if isinstance(disk_size, str) else disk_size,
            work_disk_size=parse_size(work_disk_size) if isinstance(work_disk_size, str) else work_disk_size,
            nat=nat,
            peers=peers,
            publish=list(publish),
            env=dict(env or {}),
            labels=dict(labels or {}),
            ttl=ttl,
            ephemeral=not keep,
        )
        self._attach(name or "", client)
        self._watch = watch

    def _attach(self, name: str, client: Client | None) -> None:
        self.name = name
        """The machine's name; known once the block is entered."""
        self.client = client or Client()
        self._owns_client = client is None
        self._hold: Reply | None = None
        self._deletes = False

    @classmethod
    def existing(cls, name: str, *, client: Client | None = None) -> Self:
        """A machine that is there already, running or not; it stays at the end of the block."""
        box = cls.__new__(cls)
        box._request = None
        box._watch = None
        box._attach(name, client)
        return box

    def __enter__(self) -> Self:
        try:
            if self._request is not None:
                self._create()
        except BaseException:
            self._let_go()
            raise
        return self

    def _create(self) -> None:
        assert self._request is not None
        operation = self.client.vm_create(self._request)
        try:
            self._hold, operation = hold(self.client, operation, self._request.ephemeral, self._watch)
        except BaseException:
            # An interrupted program has nothing to be deleted later: the change goes back now.
            with contextlib.suppress(errors.BangerError):
                self.client.wait(self.client.operation_cancel(operation.id))
            raise
        self.name = operation.subject
        self._deletes = self._request.ephemeral

    def __exit__(self, *exc: object) -> None:
        try:
            if self._deletes:
                self.delete()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.close()
        if self._owns_client:
            self.client.close()

    # -- commands ----------------------------------------------------------------------------------------------------

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        stdin: bool = False,
        tty: bool = False,
        timeout: float | None = None,
    ) -> Command:
        """Start a command and stream: iterate over what is returned. Raises what `Command` does."""
        from banger.api.vm import ExecVm

        request = ExecVm(
            argv=list(argv),
            env=dict(env or {}),
            cwd=cwd,
            user=user,
            stdin=stdin,
            tty=tty,
            timeout=timeout,
        )
        return self.client.vm_exec(self.name, request)

    @property
    def sessions(self) -> "Sessions":
        """The machine's sessions: commands that outlive this program, as long as the machine does."""
        return self.client.sessions(self.name)

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        timeout: float | None = None,
        check: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        limit: int = OUTPUT_LIMIT,
    ) -> Result:
        """Run a command to its end and keep what it said, at most ``limit`` bytes of each stream.

        ``timeout`` is in seconds; the command is killed after it. With ``check`` a status that is not 0 raises
        `errors.CommandFailed`, and the time limit `errors.TimedOut`. Also raises what `Command` does.
        """
        kept = {1: bytearray(), 2: bytearray()}
        truncated = False
        with self.popen(argv, env=env, cwd=cwd, user=user, stdin=input is not None, timeout=timeout) as command:
            feeder = _feed(command, input)
            for stream, data in command:
                store = kept[1 if stream == STDOUT else 2]
                room = max(0, limit - len(store))
                truncated = truncated or len(data) > room
                store += data[:room]
        if feeder is not None:
            feeder.join()
        result = Result(command.exit_code, command.signal, command.timed_out, bytes(kept[1]), bytes(kept[2]), truncated)
        if check and not result.ok:
            raise _failed(argv, result, timeout)
        return result

    # -- files -------------------------------------------------------------------------------------------------------

    def put(self, local: str, remote: str) -> None:
        """Copy a file or directory of this host into the machine, as `banger cp` does.

        Raises `errors.NoSuchPath`, `errors.UsageError`, `errors.GuestRefused`.
        """
        from banger.sdk import files

        files.put(self.client, self.name, local, remote)

    def get(self, remote: str, local: str) -> None:
        """Copy a file or directory of the machine to this host, never outside ``local``.

        Raises `errors.NoSuchPath`, `errors.UnsafeArchive`, `errors.DiskFull`.
        """
        from banger.sdk import files

        files.get(self.client, self.name, remote, local)

    def prepare(
        self,
        path: str | None = None,
        *,
        untracked: bool | None = None,
        branch: str | None = None,
        start: str | None = None,
        overwrite: bool = False,
        watch: "Watch | None" = None,
    ) -> "Workspace":
        """Import the git repository that ``path`` is in, or what has changed of it since.

        As `banger vm workspace prepare` does it. ``watch`` is called as it is sent. Raises what
        `banger.sdk.workspace.prepare` does.
        """
        from banger.sdk import workspace

        return workspace.prepare(
            self.client,
            self.name,
            path,
            untracked=untracked,
            branch=branch,
            start=start,
            overwrite=overwrite,
            watch=watch,
        )

    def export(self, file: str | None = None, *, base: str | None = None, path: str | None = None) -> "Patch":
        """What was changed in the workspace, as a patch for ``git apply``: in ``file``, all or nothing, or in memory.

        ``base`` is a commit to begin from instead of the imported one, ``path`` another repository in the machine.
        Raises `errors.UnsafePatch`, `errors.NotFound`, `errors.NoSuchPath`, `errors.CommandFailed`.
        """
        from banger.sdk import export

        if file is not None:
            return export.save(self.client, self.name, file, base=base, path=path)
        return export.text(self.client, self.name, base=base, path=path)

    # -- the machine -------------------------------------------------------------------------------------------------

    def show(self) -> "Vm":
        """The machine's record."""
        return self.client.vm_show(self.name)

    def health(self) -> "Health":
        """What the machine's agent says. Raises `errors.AgentLost`, `errors.WrongState`."""
        return self.client.vm_health(self.name)

    def start(self) -> None:
        """Start the machine again after `stop`."""
        self.client.wait(self.client.vm_start(self.name))

    def stop(self, timeout: float = 30.0) -> None:
        """Power the machine off in order. One that is not kept is deleted thereby."""
        self.client.wait(self.client.vm_stop(self.name, timeout))

    def keep_alive(self, ttl: float | None = None) -> None:
        """Begin the machine's time limit anew, ``ttl`` seconds from now, or as many as it had."""
        self.client.vm_keep(self.name, ttl)

    def delete(self) -> None:
        """Delete the machine and its disk now; nothing happens when it is gone."""
        self._deletes = False
        with contextlib.suppress(errors.NotFound):
            self.client.wait(self.client.vm_delete(self.name))


def _feed(command: Command, data: bytes | None) -> threading.Thread | None:
    """Write a command's stdin while its output is read; a pipe that is full both ways would stand still."""
    if data is None:
        return None

    def write() -> None:
        command.write(data)
        command.close_stdin()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def _failed(argv: Sequence[str], result: Result, timeout: float | None) -> errors.BangerError:
    command = printable(shlex.join(argv), 200)
    if result.timed_out:
        return errors.TimedOut(what=command, seconds=timeout)
    ending = f"was killed by signal {result.signal}" if result.signal else f"ended with status {result.exit_code}"
    said = result.stderr.decode("utf-8", "replace").strip().splitlines()
    return errors.CommandFailed(
        command=command,
        ending=ending,
        stderr=printable(said[-1]) if said else "it said nothing",
        exit_code=result.exit_code,
        signal=result.signal,
    )
