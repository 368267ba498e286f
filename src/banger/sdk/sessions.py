"""Sessions of a machine: commands that go on without their client.

    server = client.sessions("web").start(["python3", "-m", "http.server"], name="server")
    for piece in server.logs(follow=True):
        print(piece.stream, piece.data)

A session ends with its command, or with its machine. `Sessions` has the rows of the table that are about a machine,
`Session` those that are about one session; a row's name is the method's with ``vm_session_`` before it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from banger.api import routes
from banger.api.session import (
    AttachSession,
    KillSession,
    SentToSession,
    SessionInfo,
    SessionList,
    SessionLog,
    SessionWait,
    StartSession,
    StopSession,
)
from banger.sdk.decoding import decoder
from banger.sdk.exec import Command
from banger.sdk.transport import encoded, failure

if TYPE_CHECKING:
    from banger.api.routes import Route
    from banger.sdk.client import Client

SIGKILL = 9


class Session:
    """One session, by name or id. All methods raise `errors.NotFound`, and `errors.WrongState` where the machine

    does not run any more, with which its sessions have ended.
    """

    def __init__(self, client: "Client", vm: str, ref: str) -> None:
        self.vm = vm
        self.ref = ref
        self._client = client

    @property
    def _where(self) -> tuple[str, str]:
        return self.vm, self.ref

    def _ask(self, route: "Route", request: object = None) -> bytes:
        body = None if request is None else encoded(request).encode()
        return self._client.open(route, self._where, body=body).read()

    def show(self) -> SessionInfo:
        """What it is and how it is."""
        return decoder(SessionInfo)(self._ask(routes.VM_SESSION_SHOW))

    def wait(self) -> SessionInfo:
        """Wait until it has ended.

        Raises `errors.DaemonUnreachable` when the daemon ends meanwhile, `errors.AgentLost` when the machine does.
        """
        decode = decoder(SessionWait)
        with self._client.open(routes.VM_SESSION_WAIT, self._where, quiet=True) as reply:
            *_, last = (decode(line) for line in reply.lines())
        if last.error is not None:
            raise failure(last.error)
        assert last.session is not None
        return last.session

    def logs(
        self, *, follow: bool = False, stream: Literal["stdout", "stderr"] | None = None, tail: int | None = None
    ) -> Iterator[SessionLog]:
        """What it said, in order: what is kept of it, or the last ``tail`` lines; with ``follow`` until it ends.

        The last piece may tell how many bytes are missing. Raises as `wait` does.
        """
        query = {"follow": "true"} if follow else {}
        query |= {"stream": stream} if stream else {}
        query |= {"tail": str(tail)} if tail is not None else {}
        decode = decoder(SessionLog)
        with self._client.open(routes.VM_SESSION_LOGS, self._where, query=query, quiet=True) as reply:
            for piece in map(decode, reply.lines()):
                if piece.error is not None:
                    raise failure(piece.error)
                if piece.data or piece.dropped:
                    yield piece

    def attach(self, *, stdin: bool = True, tail: int | None = 0, rows: int = 0, cols: int = 0) -> Command:
        """Hear it and, with ``stdin``, speak to it; closing what is returned lets it go on.

        Raises `errors.SessionEnded` and, with ``stdin``, `errors.StdinTaken`, `errors.StdinClosed`.
        """
        request = AttachSession(stdin=stdin, tail=tail, rows=rows, cols=cols)
        return Command(self._client.transport, self._where, request, routes.VM_SESSION_ATTACH)

    def send(self, data: bytes | Iterable[bytes] = b"", *, eof: bool = False, timeout: float = 10.0) -> int:
        """Write to its stdin; how many bytes that were. With ``eof`` it is closed then.

        Raises `errors.StdinStuck` when it takes nothing for ``timeout`` seconds, `errors.StdinClosed`,
        `errors.StdinTaken`, `errors.SessionEnded`.
        """
        query = {"eof": "true"} if eof else {}
        query["timeout"] = f"{timeout:.3f}"
        body = iter((data,)) if isinstance(data, bytes) else data
        reply = self._client.open(routes.VM_SESSION_SEND, self._where, body=body, query=query, quiet=True)
        return decoder(SentToSession)(reply.read()).taken

    def stop(self, timeout: float = 10.0) -> SessionInfo:
        """End it by SIGTERM, after ``timeout`` seconds by SIGKILL, and wait until it has ended."""
        self._ask(routes.VM_SESSION_STOP, StopSession(timeout=timeout))
        return self.wait()

    def kill(self, signal: int = SIGKILL) -> None:
        """Signal its process group. Raises `errors.SessionEnded`."""
        self._ask(routes.VM_SESSION_KILL, KillSession(signal=signal))


class Sessions:
    """The sessions of one machine. All methods raise `errors.WrongState` where it does not run."""

    def __init__(self, client: "Client", vm: str) -> None:
        self.vm = vm
        self._client = client

    def start(
        self,
        argv: Sequence[str],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        stdin: bool = False,
        tty: bool = False,
        timeout: float | None = None,
    ) -> Session:
        """Start a command. With ``stdin`` it can be fed; else its stdin is ``/dev/null``.

        Raises `errors.InvalidName`, `errors.AlreadyExists`, `errors.CommandNotFound`, `errors.CommandNotExecutable`,
        `errors.GuestRefused`.
        """
        request = StartSession(
            argv=list(argv),
            name=name,
            env=dict(env or {}),
            cwd=cwd,
            user=user,
            stdin=stdin,
            tty=tty,
            timeout=timeout,
        )
        told = self._client.document(routes.VM_SESSION_START, self.vm, request=request)
        return Session(self._client, self.vm, str(told["id"]))

    def list(self) -> list[SessionInfo]:
        """Those that run, and those that have ended and are kept; oldest first."""
        reply = self._client.open(routes.VM_SESSION_LIST, self.vm).read()
        return decoder(SessionList)(reply).sessions

    def get(self, ref: str) -> Session:
        """The session of a name or an id; whether there is one is found out by its methods."""
        return Session(self._client, self.vm, ref)
