"""The packet filter, by the library that nft(8) is made of: commands in its language, without a process for each.

libnftables(3) keeps nothing between two calls here: each has a context of its own. What one call is given is one
transaction.
"""

import contextlib
import ctypes
import functools
from collections.abc import Iterator

from .operation import Failed

_LIBRARY = "libnftables.so.1"
_STATELESS, _JSON = 1 << 2, 1 << 4
"""NFT_CTX_OUTPUT_STATELESS: no counters; NFT_CTX_OUTPUT_JSON."""


def preload() -> None:
    """Load the library where it is installed, so that the processes that need it have it already."""
    with contextlib.suppress(OSError):
        _loaded()


def installed() -> bool:
    try:
        _loaded()
    except OSError:
        return False
    return True


def run(commands: str) -> None:
    """Do all of it, or nothing. Raises `Failed`."""
    done, _, said = _answer(commands, 0)
    if not done:
        raise Failed(f"nftables: {' / '.join(said.strip().splitlines()[-3:])[-400:]}")


def listed(family: str, table: str) -> bytes | None:
    """A table as JSON (libnftables-json(5)), without what only counts; None when there is none. Raises `Failed`."""
    done, output, said = _answer(f"list table {family} {table}", _JSON | _STATELESS)
    if done:
        return output
    if "No such file" in said:
        return None
    raise Failed(f"nftables cannot list tables: {said.strip()[:200]}")


@functools.cache
def _loaded() -> ctypes.CDLL:
    library = ctypes.CDLL(_LIBRARY)
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


@contextlib.contextmanager
def _context(library: ctypes.CDLL, flags: int) -> Iterator[int]:
    context = library.nft_ctx_new(0)
    if not context:
        raise Failed("nftables: there is no memory for it")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, flags)
        yield context
    finally:
        library.nft_ctx_free(context)


def _answer(commands: str, flags: int) -> tuple[bool, bytes, str]:
    """Whether all of it was done, what was printed, and what was said of errors."""
    try:
        library = _loaded()
    except OSError:
        raise Failed("nftables is not installed") from None
    with _context(library, flags) as context:
        status = library.nft_run_cmd_from_buffer(context, commands.encode("ascii"))
        output: bytes = library.nft_ctx_get_output_buffer(context) or b""
        said: bytes = library.nft_ctx_get_error_buffer(context) or b""
    return status == 0, output, said.decode("utf-8", "replace")
