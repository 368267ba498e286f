"""Copying between this host and a machine, with the meaning that `docker cp` gave to sources and destinations.

==================  =======================  ====================================================
the source is       the destination is       what happens
==================  =======================  ====================================================
a file              missing                  it is made; with a final ``/`` that is an error
a file              a file                   it is replaced
a file, directory   a directory              the source is copied into it, under its own name
a directory         missing                  it is made as a copy of the source
a directory         a file                   an error
contents (``D/.``)  a directory, or missing  what is in the source is in it afterwards
==================  =======================  ====================================================

Symbolic links are copied as links. Files arrive as root's in a machine and as the caller's on this host. What a
machine sends is written by `banger.sdk.archive`, which lets nothing leave the destination.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from banger import errors
from banger.api import routes
from banger.sdk import archive
from banger.sdk.client import Client
from banger.sdk.transport import Reply


def put(client: Client, vm: str, local: str, remote: str) -> None:
    """Copy ``local`` of this host to ``remote`` of a machine.

    Raises `errors.NoSuchPath`, `errors.NotFound`, `errors.UsageError`, `errors.GuestRefused`.
    """
    directory, contents = _local_kind(local)
    there = _remote_kind(client, vm, remote)
    if there == "directory":
        into, name = remote, "." if contents else _base(local)
    elif there == "file" and directory:
        raise errors.UsageError(detail=f"{vm}:{remote} is a file; a directory cannot be copied onto it")
    elif there == "missing" and not directory and remote.endswith("/"):
        raise errors.NoSuchPath(kind="directory", path=f"{vm}:{remote}")
    else:
        into, name = os.path.split(_absolute(remote).rstrip("/"))
    try:
        client.vm_put(vm, _absolute(into), archive.pack(_real(local), name))
    except (errors.GuestRefused, errors.NotFound):
        if _remote_kind(client, vm, into) == "missing":
            raise errors.NoSuchPath(kind="directory", path=f"{vm}:{_absolute(into)}") from None
        raise


def get(client: Client, vm: str, remote: str, local: str) -> None:
    """Copy ``remote`` of a machine to ``local`` on this host.

    Raises `errors.NoSuchPath`, `errors.NotFound`, `errors.UsageError`, `errors.UnsafeArchive`, `errors.DiskFull`.
    """
    contents = _contents(remote) or not remote.strip("/")
    rename: Callable[[str], str] = _same
    if os.path.isdir(local):
        into = local
    else:
        if local.endswith("/") and not contents and _remote_kind(client, vm, remote) != "directory":
            raise errors.NoSuchPath(kind="directory", path=local)
        into, name = os.path.split(os.path.abspath(local))
        if not os.path.isdir(into):
            raise errors.NoSuchPath(kind="directory", path=into)
        if os.path.lexists(local) and _remote_kind(client, vm, remote) == "directory":
            raise errors.UsageError(detail=f"{local} is a file; a directory cannot be copied onto it")
        rename = _renamed(name, contents)
    with contextlib.closing(_ask(client, vm, remote)) as reply:
        try:
            archive.unpack(reply.chunks(), into, rename)
        except PermissionError as error:
            raise errors.UsageError(detail=f"{into}: you may not write there") from error
        except OSError as error:
            raise errors.UsageError(detail=f"{into}: {(error.strerror or str(error)).lower()}") from error


def _local_kind(path: str) -> tuple[bool, bool]:
    """Whether a path of this host is a directory, and whether its contents are meant."""
    if not os.path.lexists(path.rstrip("/") or "/"):
        raise errors.NoSuchPath(kind="file or directory", path=path)
    contents = _contents(path)
    directory = os.path.isdir(_real(path)) and not os.path.islink(_real(path))
    if path.endswith("/") and not directory:
        raise errors.UsageError(detail=f"{path} is not a directory")
    return directory, contents


def _contents(path: str) -> bool:
    return path == "." or path.endswith("/.")


def _real(path: str) -> str:
    """What is packed: a link that is written with a final ``/`` or ``/.`` means the directory behind it."""
    return os.path.realpath(path) if path.endswith(("/", "/.")) or path in (".", "..") else path


def _base(path: str) -> str:
    return os.path.basename(os.path.abspath(path)) or "."


def _absolute(remote: str) -> str:
    """A machine's paths begin at its root, and need not say so."""
    return remote if remote.startswith("/") else f"/{remote}"


def _remote_kind(client: Client, vm: str, path: str) -> str:
    """``directory`` (also behind a link), ``file`` or ``missing``: what the machine is ready to send of it."""
    for asked, kind in ((f"{path.rstrip('/')}/.", "directory"), (path.rstrip("/"), "file")):
        with contextlib.suppress(errors.NotFound, errors.GuestRefused):
            client.vm_get(vm, _absolute(asked)).close()
            return kind
    client.document(routes.VM_SHOW, vm)  # what is missing may be the machine
    return "missing"


def _ask(client: Client, vm: str, remote: str) -> Reply:
    """A path of a machine as an archive, or the plainest reason why not."""
    try:
        return client.vm_get(vm, _absolute(remote))
    except errors.GuestRefused:
        if _remote_kind(client, vm, remote) == "missing":
            raise errors.NoSuchPath(kind="file or directory", path=f"{vm}:{remote}") from None
        raise


def _same(name: str) -> str:
    return name


def _renamed(name: str, contents: bool) -> Callable[[str], str]:
    """Names of an archive as names below ``name``, in place of the outermost one unless contents were sent."""

    def rename(entry: str) -> str:
        below = entry.removeprefix("./").strip("/")
        if not contents:
            below = below.partition("/")[2]
        return name if below in ("", ".") else f"{name}/{below}"

    return rename


def archive_in(client: Client, vm: str, path: str, chunks: Iterator[bytes]) -> None:
    """Unpack a tar archive below a directory of a machine."""
    client.vm_put(vm, _absolute(path), chunks)


def archive_out(client: Client, vm: str, path: str) -> Iterator[bytes]:
    """A path of a machine as a tar archive, as the machine sends it."""
    with contextlib.closing(_ask(client, vm, path)) as reply:
        yield from reply.chunks()
