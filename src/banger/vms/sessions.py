"""Sessions: commands in a running machine that belong to no client. They are the agent's; nothing of them is on record.

A session is found by its id, by its name or by the beginning of one id. Whoever reads, feeds or waits for one holds an
ephemeral machine, as an attached command does; the session itself does not.
"""

import contextlib
import math
from collections.abc import AsyncIterator

from banger import errors
from banger.api.session import AttachSession, SessionInfo, SessionList, SessionLog, StartSession, StreamName
from banger.guest import session as guest
from banger.guest.channel import Channel
from banger.guest.session import Attaching, Attachment
from banger.store.records import SHORTEST_PREFIX
from banger.vms import names
from banger.vms.record import VmRecord
from banger.vms.talking import Talking

TERM = 15
STREAMS: dict[str, int] = {"": guest.BOTH, "stdout": guest.STDOUT, "stderr": guest.STDERR}
NAMES: dict[int, StreamName] = {guest.STDOUT: "stdout", guest.STDERR: "stderr"}
TIME_LIMIT = 3600.0
"""Most seconds that a stop or a send may be given."""


class Sessions(Talking):
    """The part of `banger.vms.service.VmService` that knows sessions.

    All raise `errors.WrongState` where the machine does not run, `errors.AgentLost`; those that take ``session`` also
    `errors.NotFound` and `errors.Ambiguous`.
    """

    async def session_start(self, ref: str, request: StartSession) -> SessionInfo:
        """Start one. Raises `errors.InvalidName`, `errors.AlreadyExists`, and what `Channel.exec` raises."""
        name = names.check(request.name) if request.name is not None else ""
        record, channel = await self._holding(ref, change=True)
        spec, _ = self._spec(record, request)
        self._leases.activity.touch(record.id)
        try:
            started = await channel.session_start(spec, name)
        except errors.AlreadyExists as refused:
            refused.advise("it runs: end it first, or choose another name")
            raise
        return view(record, await channel.session(started))

    async def session_list(self, ref: str) -> SessionList:
        """Those that run and those that have ended, oldest first."""
        record, channel = await self._holding(ref)
        return SessionList(sessions=[view(record, each) for each in await channel.sessions()])

    async def session_show(self, ref: str, session: str) -> SessionInfo:
        record, channel, found = await self._found(ref, session)
        return view(record, await channel.session(found.id))

    async def session_wait(self, ref: str, session: str) -> AsyncIterator[SessionInfo]:
        """A session as it is, and again when it has ended."""
        record, channel, found = await self._found(ref, session)
        with self._hold(record):
            now = await channel.session(found.id)
            yield view(record, now)
            if now.running:
                await _until_end(channel, found.id)
                yield view(record, await channel.session(found.id))

    async def session_logs(
        self, ref: str, session: str, *, follow: bool = False, stream: str = "", tail: int | None = None
    ) -> AsyncIterator[SessionLog]:
        """What it said, from the last ``tail`` lines or the oldest byte on; ``follow`` goes on until it ends."""
        if stream not in STREAMS:
            raise errors.UsageError(detail=f"a stream is stdout or stderr, not {stream[:40]!r}")
        record, channel, found = await self._found(ref, session)
        with self._hold(record):
            how = Attaching(follow=follow, streams=STREAMS[stream], tail=tail)
            attachment = await channel.session_attach(found.id, how)
            try:
                yield SessionLog()  # a session that is silent is followed all the same
                async for number, data in attachment.output():
                    yield SessionLog(stream=NAMES[number], data=data)
                _, dropped = await attachment.finished()
                if dropped:
                    yield SessionLog(dropped=dropped)
            finally:
                await attachment.kill()

    @contextlib.asynccontextmanager
    async def session_attach(self, ref: str, session: str, request: AttachSession) -> AsyncIterator[Attachment]:
        """Hear one and, if so asked, speak to it. Raises what `Channel.session_attach` does."""
        record, channel, found = await self._found(ref, session, change=request.stdin)
        if not found.running:
            raise errors.SessionEnded(name=called(found))
        size = (request.rows, request.cols) if request.rows and request.cols and request.stdin else None
        with self._hold(record):
            how = Attaching(feed=request.stdin, tail=request.tail, size=size)
            try:
                attachment = await channel.session_attach(found.id, how)
            except errors.BangerError as refused:
                raise _named(refused, found) from refused
            try:
                yield attachment
            finally:
                await attachment.kill()

    async def session_send(
        self, ref: str, session: str, chunks: AsyncIterator[bytes], *, eof: bool, timeout: float
    ) -> int:
        """Write to its stdin; how many bytes went in. Raises what `Channel.session_send` does."""
        record, channel, found = await self._found(ref, session, change=True)
        if not found.running:
            raise errors.SessionEnded(name=called(found))
        with self._hold(record):
            try:
                return await channel.session_send(found.id, chunks, eof=eof, patience=_seconds(timeout))
            except errors.BangerError as refused:
                raise _named(refused, found) from refused

    async def session_stop(self, ref: str, session: str, timeout: float) -> SessionInfo:
        """Ask it to end, and let it be killed after ``timeout`` seconds. One that has ended is left as it is."""
        record, channel, found = await self._found(ref, session, change=True)
        if found.running:
            with contextlib.suppress(errors.SessionEnded):
                await channel.session_kill(found.id, TERM, _seconds(timeout))
        return view(record, await channel.session(found.id))

    async def session_kill(self, ref: str, session: str, signal: int) -> None:
        """Signal its process group. Raises `errors.SessionEnded`, `errors.UsageError`."""
        if not 1 <= signal <= 64:
            raise errors.UsageError(detail=f"there is no signal {signal}: they have the numbers 1 to 64")
        _, channel, found = await self._found(ref, session, change=True)
        if not found.running:
            raise errors.SessionEnded(name=called(found))
        try:
            await channel.session_kill(found.id, signal)
        except errors.BangerError as refused:
            raise _named(refused, found) from refused

    async def _holding(self, ref: str, *, change: bool = False) -> tuple[VmRecord, Channel]:
        """The machine that has the sessions; ``change`` where one of them is to be changed."""
        try:
            return await (self._own(ref) if change else self._attached(ref))
        except errors.WrongState as refused:
            refused.advise("sessions end with their machine: 'banger vm start' starts it, without them")
            raise

    async def _found(self, ref: str, session: str, *, change: bool = False) -> tuple[VmRecord, Channel, guest.Session]:
        record, channel = await self._holding(ref, change=change)
        return record, channel, resolve(session, await channel.sessions())


def resolve(ref: str, known: list[guest.Session]) -> guest.Session:
    """The session that is meant: by id, by name, or by the beginning of one id."""
    for each in reversed(known):
        if ref in (each.id, each.name) and ref:
            return each
    found = [each for each in known if each.id.startswith(ref)] if len(ref) >= SHORTEST_PREFIX else []
    if not found:
        raise errors.NotFound(kind="session", name=ref[:80])
    if len(found) > 1:
        raise errors.Ambiguous(name=ref[:80], candidates=", ".join(each.id for each in found[:6]))
    return found[0]


def called(session: guest.Session) -> str:
    return session.name or session.id


def view(record: VmRecord, told: guest.Session) -> SessionInfo:
    """What clients are told of a session."""
    end = told.end
    return SessionInfo(
        id=told.id,
        name=told.name or None,
        vm=record.name,
        state="running" if end is None else "killed" if end.exit_code is None else "exited",
        exit_code=end.exit_code if end else None,
        signal=end.signal if end else None,
        timed_out=end.timed_out if end else False,
        pid=told.pid,
        argv=list(told.argv),
        cwd=told.cwd or None,
        user=told.user or None,
        tty=told.tty,
        stdin=told.stdin,
        started=told.started_ns / 1e9,
        ended=told.ended_ns / 1e9 if told.ended_ns else None,
        stdout_bytes=told.stdout_bytes,
        stderr_bytes=told.stderr_bytes,
        dropped_bytes=told.dropped_bytes,
    )


async def _until_end(channel: Channel, id: str) -> None:
    """Wait until it has ended and all that it said is in its log."""
    attachment = await channel.session_attach(id, Attaching(streams=guest.NEITHER))
    try:
        async for _ in attachment.output():
            raise errors.ProtocolViolation(reason="output that nobody asked for")
        await attachment.finished()
    finally:
        await attachment.kill()


def _named(refused: errors.BangerError, session: guest.Session) -> errors.BangerError:
    """The same error of the session as it is called; the agent knows ids."""
    if "name" not in refused.data:
        return refused
    return type(refused)(**{**refused.data, "name": called(session)})


def _seconds(timeout: float) -> float:
    if not (math.isfinite(timeout) and 0 < timeout <= TIME_LIMIT):
        raise errors.UsageError(detail=f"a time limit is more than 0 and at most {TIME_LIMIT:g} seconds")
    return timeout
