"""Builds of Debian's packages by the service beside the daemon, where banger is a service of the system.

mmdebstrap needs newuidmap, whose set-user-id bit gives a process with NoNewPrivileges nothing; and the daemon has that
restriction. So systemd starts a process of the owner's without it for each build (`banger.oci.debian_service`); this is
the daemon's end of the connection. The variable says where: the daemon's unit sets it, and nothing else does.

On the wire: one line of JSON each way at a time. The client sends one `Request`; `Said` comes back until one of them
has ``ended``. Whoever hangs up ends the build, and what it left is removed.
"""

import asyncio
import os
from collections.abc import Callable

import msgspec

from banger import errors
from banger.api.operation import ErrorBody
from banger.oci.progress import Progress
from banger.paths import BUILDER_VARIABLE

LONGEST = 1 << 20
"""Bytes of a line; a recipe's commands are in one."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to build into ``output``; with ``discard``, what is left of that build is removed instead."""

    output: str
    suite: str = ""
    packages: tuple[str, ...] = ()
    mirror: str | None = None
    hooks: tuple[str, ...] = ()
    discard: bool = False


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the service says: a line of mmdebstrap's, a stage, or how it ended."""

    line: str | None = None
    stage: str | None = None
    ended: bool = False
    error: ErrorBody | None = None


def place() -> str | None:
    """Where the service listens; None where builds are done here."""
    return os.environ.get(BUILDER_VARIABLE) or None


async def ask(path: str, request: Request, progress: Progress, heard: Callable[[str], None]) -> None:
    """Have it done. Raises the service's own errors, and `errors.BuildFailed` where it does not answer."""
    decoder = msgspec.json.Decoder(Said)
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST)
    except OSError as error:
        raise _silent(request, f"{path}: {error.strerror}") from None
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        await writer.drain()
        while data := await reader.readline():
            said = decoder.decode(data)
            if said.error is not None:
                body = said.error
                raise errors.from_wire(body.code, body.message, body.hint, body.data)
            if said.ended:
                return
            if said.line is not None:
                heard(said.line)
            if said.stage is not None:
                progress(said.stage, 0, None)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise _silent(request, str(error)) from None
    finally:
        writer.close()
    raise _silent(request, "it hung up")


def _silent(request: Request, reason: str) -> errors.BuildFailed:
    error = errors.BuildFailed(
        name=f"Debian {request.suite}".strip(), reason=f"the build service does not answer: {reason}"
    )
    error.advise("'journalctl -u \"bangerd-build@*\"' has the rest")
    return error
