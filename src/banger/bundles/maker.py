"""What the programs that make bundles have in common (`banger.program`): a place to work, the finished file, words.

Their request comes from ``banger internal``. On stdout comes what a catalog must say of the bundle, and nothing else.
"""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from banger import errors
from banger.bundles import pack
from banger.bundles.manifest import ARCHITECTURES, Manifest, encode
from banger.bundles.pack import Packed
from banger.log import printable
from banger.program import run


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every bundle is asked for by. ``out`` is an absolute path at which there is nothing yet."""

    name: str
    out: str
    arch: str = "amd64"
    description: str = ""
    json: bool = False


R = TypeVar("R", bound=Request)


def check(request: Request) -> str:
    """Refuse what cannot become a bundle; returns our spelling of the architecture.

    Raises `errors.UsageError`, `errors.AlreadyExists`.
    """
    if request.arch not in ARCHITECTURES:
        known = ", ".join(dict.fromkeys(ARCHITECTURES.values()))
        raise errors.UsageError(detail=f"{printable(request.arch, 40)!r} is no architecture of machines: {known}")
    for text in (request.description, *(each for each in (getattr(request, "distro", ""),) if each)):
        if not text.isprintable() or len(text) > 200:
            raise errors.UsageError(detail=f"{printable(text, 80)!r} is longer than a line")
    if os.path.lexists(request.out):
        raise errors.AlreadyExists(kind="file", name=request.out)
    return ARCHITECTURES[request.arch]


@contextlib.contextmanager
def workplace(out: str) -> Iterator[str]:
    """A directory beside the bundle to be, gone at the end whatever happens. Raises as `errors.from_os`."""
    try:
        with tempfile.TemporaryDirectory(prefix=".banger-bundle-", dir=os.path.dirname(out)) as work:
            yield work
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR) and not os.access(os.path.dirname(out), os.W_OK):
            raise errors.UsageError(detail=f"cannot write to {os.path.dirname(out)}: {error.strerror}") from None
        raise errors.from_os(error, out) from error


def finish(manifest: Manifest, files: Sequence[tuple[str, str]], work: str, out: str) -> Packed:
    """Pack in ``work``, and give the file its name at once. Raises `errors.AlreadyExists`, OSError."""
    packed = pack.pack(encode(manifest), files, os.path.join(work, "bundle"))
    try:
        os.link(packed.path, out)
    except FileExistsError:
        raise errors.AlreadyExists(kind="file", name=out) from None
    return packed._replace(path=out)


def program(kind: type[R], make: Callable[[R], Packed]) -> int:
    """The whole of a program that makes bundles; its exit status."""
    return run(kind, make, _tell)


def _tell(request: Request, packed: Packed) -> None:
    if request.json:
        print(json.dumps(packed._asdict(), indent=2))
    else:
        for key, value in packed._asdict().items():
            print(f"{key:<6}  {value}")
