"""An agent that turns on its host: the fake driver runs ``hostile_agent.py SCENE`` with a connection at descriptor 0.

It keeps to the protocol until somebody asks for what the scene is about (`SCENES`).
"""

import io
import os
import socket
import sys
import tarfile
from collections.abc import Callable

from banger.guest import wire

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"
CONTROL_LIMIT = 1 << 16

Operation, Kind, Field = wire.Operation, wire.Kind, wire.Field


class Agent:
    """One attachment."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._encoder = wire.Encoder(0)

    def acknowledge(self) -> None:
        records = self._file.read(wire.SYNC.size * wire.SYNC_COUNT)
        epoch = wire.SYNC.unpack_from(records)[1]
        self._encoder = wire.Encoder(epoch)
        self.raw(wire.ACK.pack(wire.ACK_MAGIC, epoch, wire.PROTOCOL, 0, 0, b"hostile"))

    def request(self) -> tuple[int, int]:
        """The operation and the stream of the next request."""
        while True:
            length, kind, channel, _, stream = wire.HEADER.unpack(self._file.read(wire.HEADER.size))
            self._file.read(length + wire.TAG.size)
            if kind == Kind.OPEN:
                return channel, stream

    def raw(self, data: bytes) -> None:
        self._connection.sendall(data)

    def say(self, kind: int, stream: int, payload: bytes = b"", channel: int = 0) -> None:
        self.raw(self._encoder.frame(kind, stream, payload, channel))

    def end(self, stream: int, payload: bytes = b"") -> None:
        self.say(Kind.END, stream, payload)


def archive(*entries: tuple[str, bytes, dict[str, object]]) -> bytes:
    """A tar archive of names, types and further attributes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, fields in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            for field, value in fields.items():
                setattr(info, field, value)
            info.size = 5 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"owned"))
    return out.getvalue()


FILE, LINK, DIRECTORY, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE
SPARSE: dict[str, object] = {
    "pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 60)}
}
ARCHIVES = {
    "traversal": archive(("tree", DIRECTORY, {}), ("tree/../../owned", FILE, {})),
    "absolute": archive(("tree", DIRECTORY, {}), ("/../../owned", FILE, {})),
    "swapped": archive(
        ("tree", DIRECTORY, {}), ("tree/d", LINK, {"linkname": ".."}), ("tree/d/../owned", FILE, {})
    ),
    "through-a-link": archive(
        ("tree", DIRECTORY, {}), ("tree/d", LINK, {"linkname": "../.."}), ("tree/d/owned", FILE, {})
    ),
    "device": archive(("tree", DIRECTORY, {}), ("tree/null", DEVICE, {"devmajor": 1, "devminor": 3})),
    "sparse-bomb": archive(("tree", DIRECTORY, {}), ("tree/bomb", FILE, SPARSE)),
    "setuid": archive(("tree", DIRECTORY, {}), ("tree/su", FILE, {"mode": 0o6755})),
    "escapes": archive(("tree", DIRECTORY, {}), (f"../{ESCAPES}", FILE, {})),
}  # fmt: skip
"""What a request for files is answered with, by scene."""


def health(agent: Agent, stream: int) -> None:
    tags = (Field.VERSION, Field.BOOT_ID, Field.PID1, Field.HOSTNAME, Field.LOAD)
    agent.end(stream, b"".join(wire.field(tag, ESCAPES) for tag in tags))


def refuse(agent: Agent, stream: int) -> None:
    agent.end(stream, wire.field(Field.ERROR, wire.Refusal.FAILED) + wire.field(Field.TEXT, ESCAPES))


def detach(agent: Agent, stream: int) -> None:
    agent.end(stream, wire.field(Field.SESSION, ESCAPES))


def sessions(agent: Agent, stream: int) -> None:
    """One that runs, and whose every text is not meant to be read."""
    numbers = (Field.STARTED_NS, Field.LOG_BYTES, Field.ERROR_BYTES, Field.DROPPED, Field.PID)
    texts = (Field.SESSION, Field.NAME, Field.COMMAND, Field.CWD, Field.USER)
    record = b"".join([*(wire.field(tag, 2**64 - 1) for tag in numbers), *(wire.field(tag, ESCAPES) for tag in texts)])
    agent.end(stream, wire.field(Field.RECORD, record + wire.field(Field.STDIN)))


def crowded(agent: Agent, stream: int) -> None:
    """More sessions than there are places."""
    agent.end(stream, wire.field(Field.RECORD) * 100)


def deaf(agent: Agent, stream: int) -> None:
    """Take a session's stdin, and never say that it did."""
    agent.say(Kind.STARTED, stream)


def begin(agent: Agent, stream: int) -> None:
    """Start a command that says one line and never ends, whatever is asked of it."""
    agent.say(Kind.STARTED, stream)
    agent.say(Kind.DATA, stream, b"up\n", 1)


def flood(agent: Agent, stream: int) -> None:
    """Output without an end and without regard for the credit."""
    agent.say(Kind.STARTED, stream)
    while True:
        agent.say(Kind.DATA, stream, bytes(wire.MAX_PAYLOAD), 1)


def garbage(agent: Agent, stream: int) -> None:
    """No frames any more."""
    while True:
        agent.raw(os.urandom(CONTROL_LIMIT))


def socket_record(address: bytes) -> bytes:
    """A socket of a process whose name is not meant to be read."""
    fields: dict[int, int | bytes | str] = {
        Field.TRANSPORT: 6,
        Field.ADDRESS: address,
        Field.LOCAL_PORT: 80,
        Field.PID: 7,
        Field.NAME: ESCAPES,
    }
    return wire.field(Field.RECORD, b"".join(wire.field(tag, value) for tag, value in fields.items()))


def sockets(agent: Agent, stream: int) -> None:
    """Two sockets; of what is asked at the second one the answer never ends."""
    agent.say(Kind.DATA, stream, socket_record(bytes([127, 0, 0, 1])) + socket_record(bytes(4)), 1)
    agent.end(stream)


def impossible(agent: Agent, stream: int) -> None:
    agent.say(Kind.DATA, stream, socket_record(bytes(5)), 1)
    agent.end(stream)


def crowd(agent: Agent, stream: int) -> None:
    """Sockets for as long as there is credit, then nothing more."""
    for _ in range(wire.WINDOW // wire.MAX_PAYLOAD):
        agent.say(Kind.DATA, stream, bytes(wire.MAX_PAYLOAD), 1)
    while True:
        agent.say(Kind.DATA, stream, b"x", 1)


def files(scene: str) -> Callable[[Agent, int], None]:
    def send(agent: Agent, stream: int) -> None:
        agent.say(Kind.STARTED, stream)
        agent.say(Kind.DATA, stream, ARCHIVES[scene], 1)
        agent.end(stream, wire.field(Field.EXIT, 0))

    return send


SCENES: dict[str, dict[int, Callable[[Agent, int], None]]] = {
    "speech": {
        Operation.HEALTH: health, Operation.EXEC: refuse, Operation.DETACH: detach, Operation.LISTENERS: sockets,
        Operation.DIAL: refuse, Operation.SESSIONS: sessions, Operation.ATTACH: refuse,
    },
    "mute": {
        Operation.EXEC: begin, Operation.SESSIONS: sessions, Operation.SEND: deaf, Operation.ATTACH: deaf,
    },
    "crowded": {Operation.SESSIONS: crowded},
    "flood": {
        Operation.EXEC: flood, Operation.SESSIONS: sessions, Operation.ATTACH: flood, Operation.LISTENERS: sockets,
        Operation.DIAL: flood,
    },
    "impossible": {Operation.LISTENERS: impossible},
    "crowd": {Operation.LISTENERS: crowd},
    "garbage": {Operation.EXEC: garbage},
    **{name: {Operation.GET: files(name)} for name in ARCHIVES},
}  # fmt: skip


def main() -> None:
    agent = Agent(socket.socket(fileno=0))
    agent.acknowledge()
    scene = SCENES[sys.argv[1]]
    while True:
        operation, stream = agent.request()
        scene.get(operation, Agent.end)(agent, stream)


if __name__ == "__main__":
    main()
