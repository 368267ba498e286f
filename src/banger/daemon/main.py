"""bangerd: from an empty process to a socket that answers, and back.

Start: umask, private runtime directory, lock, socket, store, recovery, serve. The socket exists before the recovery has
ended: who connects early waits for an answer instead of being turned away. End (SIGTERM, SIGINT, ``daemon stop``): no
new connections, streams break off, changes under way stop where they are for the next daemon, machines go on.

systemd, where it has started us, is told once we serve, and when we end (sd_notify(3)).

The log goes to stderr; who starts a daemon on demand points that at ``bangerd.log``.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator

from banger import errors, log
from banger.config.loader import load
from banger.config.settings import Config
from banger.daemon import private
from banger.daemon.wiring import Wire, unwire, wire
from banger.paths import Paths
from banger.privileged.installation import readiness

LOG = logging.getLogger("banger.daemon")

M_MMAP_THRESHOLD = -3
LARGE_BLOCK = 128 << 10

FILES = 65536
"""How many may be open at a time, where the host lets us."""

FAREWELL_SECONDS = 2
"""How long an end waits for replies that are on their way."""


def main() -> int:
    """The command ``bangerd``: no arguments, everything comes from the environment and config.toml."""
    if len(sys.argv) > 1:
        print("usage: bangerd  (no arguments; see config.toml and 'banger daemon --help')", file=sys.stderr)
        return errors.UsageError.exit_status
    try:
        run(Paths.from_environment(), wire)
    except errors.BangerError as error:
        print(f"bangerd: {error.message}", file=sys.stderr)
        if error.advice:
            print(f"  {error.advice}", file=sys.stderr)
        return error.exit_status
    return 0


def run(paths: Paths, parts: Wire) -> None:
    """Be the daemon of an installation until told to end. Raises `errors.BangerError` when that is not possible."""
    _return_memory()
    _more_files()
    os.umask(0o077)
    os.chdir("/")
    tell = _supervisor()
    config = load(*paths.config_files)
    log.configure(config.log_level)
    _adopt_loggers()
    private.private_directory(paths.runtime)
    lock = private.Lock(paths.lock)
    try:
        listener = private.listen(paths.socket)
        try:
            asyncio.run(_serve(paths, config, parts, listener, tell))
        finally:
            listener.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(paths.socket)
    finally:
        lock.release()


def _supervisor() -> Callable[[str], None]:
    """What tells systemd how we are. Its address is ours alone: no child inherits it."""
    environment = {readiness.VARIABLE: os.environ.pop(readiness.VARIABLE, "")}

    def tell(state: str) -> None:
        if reason := readiness.notify(environment, state):
            LOG.warning("systemd was not told %s: %s", state, reason)

    return tell


def _return_memory() -> None:
    """Give large blocks back to the system when they are freed.

    By default glibc raises the limit above which it does so with every such block (mallopt(3), M_MMAP_THRESHOLD); a
    daemon that once unpacked a kernel would be larger by half for ever.
    """
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _more_files() -> None:
    """Each connection that is forwarded into a machine is a file; the usual soft limit is for programs with few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _serve(
    paths: Paths, config: Config, parts: Wire, listener: socket.socket, tell: Callable[[str], None]
) -> None:
    services = await parts(paths, config)
    try:
        with _signals(services.stopping):
            from banger.daemon.app import build
            from banger.daemon.server import serve

            gc.collect()
            gc.freeze()  # what start-up made stays: the collector need not look at it again
            LOG.info("bangerd %d serves %s", os.getpid(), paths.socket)
            await serve(
                build(services),
                listener,
                ready=lambda: tell(readiness.READY),
                stopping=services.stopping,
                farewell=FAREWELL_SECONDS,
            )
    finally:
        tell(readiness.STOPPING)
        services.stopping.set()
        await unwire(services)
        LOG.info("bangerd %d ends; machines go on", os.getpid())


@contextlib.contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    """Both polite signals mean the same: end in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class _NotLoggedYet(logging.Filter):
    """Drops what `reply.Stream` has logged before it broke a connection off."""

    def filter(self, record: logging.LogRecord) -> bool:
        from banger.daemon.reply import BrokenStream

        return not (record.exc_info and isinstance(record.exc_info[1], BrokenStream))


def _adopt_loggers() -> None:
    """Warnings of the libraries go to our log, in our form."""
    handlers = logging.getLogger("banger").handlers
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers[:] = handlers
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    logging.getLogger("uvicorn.error").addFilter(_NotLoggedYet())


if __name__ == "__main__":
    sys.exit(main())
