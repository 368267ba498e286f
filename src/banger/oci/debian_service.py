"""The build service: ``python -m banger.oci.debian_service``, one process for each connection, which is its stdin.

It is the owner's, like the daemon, and does for it what `banger.oci.debian` does, nothing else: it runs mmdebstrap with
arguments made here. A recipe's commands run in mmdebstrap's user namespace, where no file's set-user-id bit leads back
to root. When the daemon hangs up, the build ends, and systemd ends whatever is left in the unit's control group.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable

import msgspec

from banger import errors
from banger.api.operation import ErrorBody
from banger.oci import debian
from banger.oci.debian_client import LONGEST, Request, Said
from banger.paths import BUILDER_VARIABLE


def main() -> int:
    """Answer the one connection."""
    os.umask(0o077)
    os.environ.pop(BUILDER_VARIABLE, None)  # here is where it is done
    connection = socket.socket(fileno=os.dup(0))
    return asyncio.run(_serve(connection))


async def _serve(connection: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=connection, limit=LONGEST)

    def say(said: Said) -> None:
        writer.write(msgspec.json.encode(said) + b"\n")

    try:
        request = msgspec.json.decode(await reader.readline(), type=Request)
        work = asyncio.ensure_future(_do(request, say))
        gone = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not work.done():
            work.cancel()
        await work
        say(Said(ended=True))
    except errors.BangerError as error:
        say(Said(error=ErrorBody(code=error.code, message=error.message, hint=error.advice, data=_plain(error))))
    except (asyncio.CancelledError, ValueError, msgspec.DecodeError):
        return 1
    try:
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError:
        return 1
    return 0


async def _do(request: Request, say: Callable[[Said], None]) -> None:
    if request.discard:
        await debian.discard(request.output)
        return
    await debian.build_rootfs_tar(
        request.suite,
        request.packages,
        request.output,
        mirror=request.mirror,
        hooks=request.hooks,
        progress=lambda stage, done, total: say(Said(stage=stage)),
        heard=lambda line: say(Said(line=line[:4096])),
    )


def _plain(error: errors.BangerError) -> dict[str, str | int | float | bool | list[str] | None]:
    return {key: str(value) for key, value in error.data.items()}


if __name__ == "__main__":
    sys.exit(main())
