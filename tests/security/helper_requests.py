"""Requests for the root helper, made of the registry's own types: right, wrong in one place, or broken as a frame.

What each field may hold is asked by its name first (machines, paths, taps, ...) and by its type else, so an operation
that is registered later is attacked without a word here.
"""

import base64
import dataclasses
import json
import random
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from banger.helper import protocol, registry
from banger.helper.operation import Operation

VM_IDS = ("0123456789abcdef", "fedcba9876543210")
TEXTS = (
    "", ".", "..", "/", "-", "--help", "a b", "new\nline", "\x1b[2J", "nul\0", "\ud800", "ümlaut", "$(reboot)",
    ";reboot", "`reboot`", "%s%n", "\\", "'", '"', "x" * 300, "x" * 70_000, "0", "-1", "root", "eth9", "br0", "tap9",
    "lo", "all", "/dev/mapper/fc-rootfs-0123456789abcdef", "/proc/self/root", "/proc/self/fd/0", "/etc/shadow",
    "../../etc/shadow",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 255, 1023, 1024, 4096, 65_535, 65_536, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62, 1 << 63)
JUNK: tuple[Any, ...] = (None, True, False, 1.5, -0.0, 1e400, [], {}, [[]], {"": ""}, [None] * 5, "text", 7)


class Request(NamedTuple):
    """What is sent: bytes, and how many descriptors of which kinds with them."""

    data: bytes
    descriptors: tuple[str, ...] = ()
    valid: str = ""
    """The operation's name, where this one has to be performed."""


class Requests:
    """An endless supply, the same for the same seed. ``pools`` has values by field name, good ones first."""

    def __init__(self, seed: int, pools: Mapping[str, Sequence[Any]], valid: Sequence[Mapping[str, Any]]) -> None:
        self._random = random.Random(seed)
        self._pools = pools
        self._valid = [each for each in valid if each["operation"] in registry.BY_NAME]

    def next(self) -> Request:
        """One more."""
        roll = self._random.random()
        if roll < 0.08 and self._valid:
            chosen = self._random.choice(self._valid)
            return Request(protocol.frame(chosen), (), str(chosen["operation"]))
        kind = self._random.choice(registry.OPERATIONS)
        request = self._request(kind)
        if roll < 0.16:
            return Request(self._broken(request), self._descriptors(kind))
        return Request(framed(request), self._descriptors(kind))

    def _request(self, kind: type[Operation]) -> dict[str, Any]:
        made: dict[str, Any] = {"operation": kind.NAME, "arguments": self._struct(kind)}
        if self._random.random() < 0.3:
            made["undo"] = True
        if self._random.random() < 0.5:
            made["change"] = f"{self._random.getrandbits(48):012x}"
        if self._random.random() < 0.04:
            made[self._random.choice(["operation", "arguments", "undo", "change", "other"])] = self._junk()
        return made

    def _struct(self, kind: type) -> dict[str, Any]:
        hints = typing.get_type_hints(kind)
        made = {}
        for each in dataclasses.fields(kind):
            if each.default is dataclasses.MISSING or self._random.random() < 0.7:
                made[each.name] = self._field(each.name, hints[each.name])
        if {"pid", "start_ticks"} <= made.keys() and self._random.random() < 0.7:
            made["pid"], made["start_ticks"] = self._random.choice(self._pools["process"])
        if made and self._random.random() < 0.03:
            made.pop(self._random.choice(list(made)))
        if self._random.random() < 0.03:
            made[self._random.choice(["other", "NAME", "__class__", ""])] = self._junk()
        return made

    def _field(self, name: str, hint: Any) -> Any:
        roll = self._random.random()
        if roll < 0.05:
            return self._junk()
        pool = self._pools.get(name)
        if pool is not None and roll < 0.9:
            good = pool[: max(1, len(pool) // 2)]
            return self._random.choice(good if roll < 0.7 else pool)
        return self._of_type(name, hint)

    def _of_type(self, name: str, hint: Any) -> Any:
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            return self._of_type(name, self._random.choice(typing.get_args(hint)))
        if typing.get_origin(hint) is tuple:
            item = typing.get_args(hint)[0]
            return [self._field(name + "[]", item) for _ in range(self._random.choice([0, 1, 1, 2, 3, 40]))]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._struct(hint)
        if hint is bool:
            return self._random.random() < 0.5
        if hint is int:
            return self._random.choice(NUMBERS)
        if hint is bytes:
            content = self._random.randbytes(self._random.choice([0, 1, 100, 5000]))
            return base64.b64encode(content).decode()
        if hint is str:
            paths = self._pools["path"]
            return self._random.choice([*TEXTS, *paths]) if self._random.random() < 0.9 else self._text()
        return None

    def _text(self) -> str:
        return "".join(chr(self._random.randrange(1, 0x2FF)) for _ in range(self._random.randrange(40)))

    def _junk(self) -> Any:
        return self._random.choice([*JUNK, *NUMBERS, *TEXTS])

    def _descriptors(self, kind: type[Operation]) -> tuple[str, ...]:
        count = len(kind.DESCRIPTORS)
        if self._random.random() < 0.1:
            count = self._random.randrange(12)
        return tuple(self._random.choice(DESCRIPTORS) for _ in range(count))

    def _broken(self, request: dict[str, Any]) -> bytes:
        """A frame that is none."""
        data = bytearray(framed(request))
        match self._random.randrange(8):
            case 0:
                return bytes(data[: self._random.randrange(len(data))])
            case 1:
                for _ in range(3):
                    data[self._random.randrange(len(data))] = self._random.randrange(256)
            case 2:
                data[:4] = protocol.HEADER.pack(self._random.choice([0, 1, len(data) * 2, 8 << 20, (1 << 32) - 1]))
            case 3:
                return self._random.randbytes(self._random.randrange(200))
            case 4:
                return (
                    protocol.HEADER.pack(50_000) + self._random.choice([b"[", b'{"a":', b'"', b"9", b"\xff"]) * 50_000
                )
            case 5:
                return protocol.HEADER.pack(len(data) - 2) + bytes(data[4:]).replace(b'"', b"'") + b"  "
            case 6:
                return bytes(data) * 2
            case _:
                body = bytes(data[4:]).replace(b'{"operation"', b'{"operation":"helper.ping","operation"', 1)
                return protocol.HEADER.pack(len(body)) + body
        return bytes(data)


DESCRIPTORS = ("log", "log", "file", "disk", "null", "pipe", "socket", "directory", "path", "deleted", "outside")
"""Kinds of descriptors that an attacker has; the scene opens them."""


def framed(request: Mapping[str, Any]) -> bytes:
    """As `protocol.frame`, also for what it would not send."""
    body = json.dumps(request).encode()
    return protocol.HEADER.pack(len(body)) + body
