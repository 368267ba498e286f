"""The bytes of the guest agent protocol, without any I/O.

A frame is a 12-byte header, a payload of at most `MAX_PAYLOAD` bytes and a 4-byte tag, all little-endian::

    u32 length | u8 type | u8 channel | u16 zero | u32 stream | payload | u32 tag

The tag is the attachment's epoch folded to 32 bits plus the number of frames sent before in this direction, so that
a half frame of an earlier attachment, a lost frame and a repeated frame are all seen before the frame is acted on.

An attachment begins with SYNC records from the host; the guest answers with one ACK record that repeats the epoch.
The first four bytes of both records, read as a length, are larger than any frame's: on a frame boundary a record is
never taken for a frame. `docs/reference/guest-agent-protocol.md` says the rest.

Fields travel inside the payloads of requests and results as ``u8 tag | u32 length | bytes``.
"""

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from banger import errors

PROTOCOL = 1
MAX_FRAME = 32768
"""The largest frame: what a virtio-serial port takes in one write."""

HEADER = struct.Struct("<IBBHI")
TAG = struct.Struct("<I")
MAX_PAYLOAD = MAX_FRAME - HEADER.size - TAG.size
WINDOW = 256 * 1024
"""Bytes that may be on their way in one channel of a stream before the receiver grants more."""

MAX_REQUEST = 256 * 1024
"""The largest request, gathered from PART frames and the OPEN frame."""

CONNECTIONS = 256
"""How many an agent makes at a time; streams of all other kinds have places of their own."""

SYNC = struct.Struct("<16sQHHI")
SYNC_MAGIC = b"\xff\xfe\xfd\xfcBANGER-SYNC\n"
SYNC_COUNT = MAX_FRAME // SYNC.size + 2
"""Records in the first round: enough to fill up any half frame and to be found after it."""

ACK = struct.Struct("<16sQHHI32s")
ACK_MAGIC = b"\xff\xfe\xfd\xfcBANGER-HERE\n"


class Kind(enum.IntEnum):
    """What a frame is for; the second word tells who sends it."""

    OPEN = 1  # host: a request; the channel byte holds the operation
    DATA = 2  # both
    EOF = 3  # both: no more DATA in this channel
    CREDIT = 4  # both: u32, bytes that the peer may send in addition
    CONTROL = 5  # host: fields that change a running command
    CLOSE = 6  # host: nobody waits any more; END follows all the same
    END = 7  # guest: the result; the stream is over
    STARTED = 8  # guest: the request has been taken up
    PART = 9  # host: a piece of a request that is too large for its OPEN frame


class Operation(enum.IntEnum):
    """What an OPEN frame asks for."""

    EXEC = 1
    DETACH = 2
    SESSIONS = 3
    ATTACH = 4
    KILL = 5
    PUT = 6
    GET = 7
    DIAL = 8
    HEALTH = 9
    CLOCK = 10
    FLUSH = 11
    POWEROFF = 12
    LISTENERS = 13
    SEND = 14
    STATES = 15


class Field(enum.IntEnum):
    """Tags of fields: below 32 in requests, from 32 on in results."""

    ARG = 1
    ENV = 2
    CWD = 3
    USER = 4
    TTY = 5
    TIMEOUT_MS = 6
    STDIN = 7
    PATH = 8
    SESSION = 9
    FOLLOW = 10
    SIGNAL = 11
    HOST = 12
    PORT = 13
    TIME_NS = 14
    STREAMS = 15
    TAIL = 16
    EOF = 17
    EXIT = 32
    SIGNALLED = 33
    TIMED_OUT = 34
    ERROR = 35
    TEXT = 36
    VERSION = 40
    PROTOCOL = 41
    UPTIME_MS = 42
    BOOT_ID = 43
    PID1 = 44
    HOSTNAME = 45
    MEMORY_TOTAL = 46
    MEMORY_AVAILABLE = 47
    LOAD = 48
    CLOCK_NS = 49
    RECORD = 50
    COMMAND = 51
    STARTED_NS = 52
    LOG_BYTES = 53
    TRANSPORT = 54
    ADDRESS = 55
    LOCAL_PORT = 56
    PID = 57
    NAME = 58
    MORE = 59
    ENDED_NS = 60
    ERROR_BYTES = 61
    DROPPED = 62
    TAKEN = 63


class Refusal(enum.IntEnum):
    """Values of the field ERROR."""

    NOT_FOUND = 1
    NOT_EXECUTABLE = 2
    BAD_USER = 3
    BAD_CWD = 4
    FAILED = 5
    LIMIT = 6
    BAD_REQUEST = 7
    NO_ENTRY = 8
    BAD_ARCHIVE = 9
    NAME_TAKEN = 10
    SESSION_ENDED = 11
    STDIN_TAKEN = 12
    STDIN_CLOSED = 13
    NO_SPACE = 14


class Frame(NamedTuple):
    """One frame, its tag already checked."""

    kind: int
    channel: int
    stream: int
    payload: bytes


class Ack(NamedTuple):
    """The guest's answer to SYNC."""

    protocol: int
    version: str


def fold(epoch: int) -> int:
    """The tag of an epoch's first frame."""
    return (epoch ^ (epoch >> 32)) & 0xFFFFFFFF


def sync(epoch: int, round: int, count: int = 1) -> bytes:
    """``count`` SYNC records; all records of one sending carry the same ``round``."""
    return SYNC.pack(SYNC_MAGIC, epoch, PROTOCOL, round & 0xFFFF, 0) * count


class Encoder:
    """Frames of one direction of one attachment."""

    def __init__(self, epoch: int) -> None:
        self._tag = fold(epoch)

    def frame(self, kind: int, stream: int, payload: bytes | memoryview = b"", channel: int = 0) -> bytes:
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a payload holds at most {MAX_PAYLOAD} bytes")
        tag = self._tag
        self._tag = (tag + 1) & 0xFFFFFFFF
        return b"".join((HEADER.pack(len(payload), kind, channel, 0, stream), payload, TAG.pack(tag)))


class Decoder:
    """What the guest sends, from arbitrary pieces; holds less than one frame and the piece being read.

    Everything before the ACK of this decoder's own epoch is thrown away: it belongs to an earlier attachment.
    Afterwards nothing but frames may come, and anything else is a `errors.ProtocolViolation`.
    """

    def __init__(self, epoch: int) -> None:
        self._needle = ACK_MAGIC + struct.pack("<Q", epoch)
        self._tag = fold(epoch)
        self._buffer = bytearray()
        self.ack: Ack | None = None

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """The frames that ``data`` completes. Exhaust the iterator before the next call."""
        self._buffer += data
        if self.ack is None and not self._hunt():
            return
        yield from self._frames()

    def _hunt(self) -> bool:
        buffer = self._buffer
        at = buffer.find(self._needle)
        if at < 0:
            del buffer[: max(0, len(buffer) - len(self._needle) + 1)]
            return False
        del buffer[:at]
        if len(buffer) < ACK.size:
            return False
        _, _, protocol, _, _, version = ACK.unpack_from(buffer)
        self.ack = Ack(protocol, version.rstrip(b"\0").decode("utf-8", "replace"))
        del buffer[: ACK.size]
        return True

    def _frames(self) -> Iterator[Frame]:
        buffer = self._buffer
        at = 0
        try:
            while len(buffer) - at >= HEADER.size:
                if buffer.startswith(self._needle[: HEADER.size], at):
                    if len(buffer) - at < ACK.size:
                        return
                    self._check_repeated(at)
                    at += ACK.size
                    continue
                length, kind, channel, zero, stream = HEADER.unpack_from(buffer, at)
                if length > MAX_PAYLOAD or zero:
                    raise errors.ProtocolViolation(reason="a malformed frame header")
                end = at + HEADER.size + length
                if len(buffer) < end + TAG.size:
                    return
                if TAG.unpack_from(buffer, end)[0] != self._tag:
                    raise errors.ProtocolViolation(reason="a frame with a wrong tag")
                self._tag = (self._tag + 1) & 0xFFFFFFFF
                with memoryview(buffer) as view:
                    payload = bytes(view[at + HEADER.size : end])
                at = end + TAG.size
                yield Frame(kind, channel, stream, payload)
        finally:
            del buffer[:at]

    def _check_repeated(self, at: int) -> None:
        """A later round of SYNC was on its way when the first was answered: its answer changes nothing."""
        if not self._buffer.startswith(self._needle, at):
            raise errors.ProtocolViolation(reason="an answer to another attachment")


# -- fields -----------------------------------------------------------------------------------------------------------


def field(tag: int, value: bytes | str | int = b"") -> bytes:
    """One field; a number is sent as eight bytes."""
    if isinstance(value, int):
        value = struct.pack("<Q", value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return struct.pack("<BI", tag, len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a payload, in order. Raises `errors.ProtocolViolation` when they do not fill it exactly."""
    at = 0
    while at < len(data):
        if len(data) - at < 5:
            raise errors.ProtocolViolation(reason="a truncated field")
        tag, length = struct.unpack_from("<BI", data, at)
        at += 5
        if length > len(data) - at:
            raise errors.ProtocolViolation(reason="a field longer than its frame")
        yield tag, data[at : at + length]
        at += length


class Result:
    """The fields of an END, STARTED or nested record, by tag; of a repeated tag the last counts."""

    def __init__(self, data: bytes) -> None:
        self.all = list(fields(data))
        self._last = dict(self.all)

    def __contains__(self, tag: int) -> bool:
        return tag in self._last

    def number(self, tag: int) -> int:
        """A number, 0 when it is missing."""
        value = self._last.get(tag, bytes(8))
        if len(value) != 8:
            raise errors.ProtocolViolation(reason="a number that is not eight bytes long")
        return int.from_bytes(value, "little")

    def value(self, tag: int) -> bytes:
        """The bytes of a field, none when it is missing."""
        return self._last.get(tag, b"")

    def text(self, tag: int) -> str:
        return self.value(tag).decode("utf-8", "replace")

    def records(self, tag: int) -> list["Result"]:
        return [Result(value) for each, value in self.all if each == tag]
