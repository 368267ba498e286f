"""The store's file: opened, migrated, and written in transactions that are on disk when they end.

Invariants:

- WAL with ``synchronous=FULL``: a committed transaction survives a power cut, and a reader (the doctor) never waits.
- Who has said `deferred` commits without waiting for the disk, and awaits `Database.durable` before it acts on what it
  has committed. All who wait at one time share one sync, which blocks nobody else. A process that is killed loses
  nothing either way.
- The schema's version is ``PRAGMA user_version``. Migrations are the files ``migrations/NNNN_name.sql``, each applied
  with its version number in one transaction, never edited, forward only. A copy of the file is kept before the first
  migration of an existing store (``banger.db.before-N``).
- A store that is newer than this program is refused, not guessed at.
- What was committed moves from the journal to the file every `MOVED` statements, in another thread and without keeping
  anybody from committing. SQLite's own way, in the middle of a commit that then waits for the disk three times, is left
  for a journal of `LONGEST` pages.
- Any thread may call; statements take turns.
"""

import asyncio
import contextlib
import contextvars
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from banger import errors

LOG = logging.getLogger("banger.store")

MIGRATIONS = os.path.join(os.path.dirname(__file__), "migrations")

UNREADABLE = (
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
)  # fmt: skip
"""What SQLite says of a file that is damaged, foreign or out of reach."""

MOVED, LONGEST = 500, 8000
PAUSE = 1.0
"""Seconds between two attempts to empty the journal while it is written to."""

Row = tuple[Any, ...]

_DEFERRED = contextvars.ContextVar("deferred", default=False)


def defer() -> None:
    """From now on this task, and those that it begins, commit without waiting for the disk."""
    _DEFERRED.set(True)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """As `defer`, for a block."""
    token = _DEFERRED.set(True)
    try:
        yield
    finally:
        _DEFERRED.reset(token)


def migrations() -> list[tuple[int, str]]:
    """Version and script of every migration, in order."""
    found = []
    for name in sorted(os.listdir(MIGRATIONS)):
        number, _, rest = name.partition("_")
        if number.isdigit() and rest.endswith(".sql"):
            with open(os.path.join(MIGRATIONS, name), encoding="utf-8") as script:
                found.append((int(number), script.read()))
    return found


class _Translated:
    """SQLite's own words for a full disk and for a damaged file become errors that users can act on."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.DatabaseError):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest refines it
            if code == sqlite3.SQLITE_FULL:
                raise errors.DiskFull(path=self._path) from error
            if code in UNREADABLE:
                raise errors.StoreUnreadable(path=self._path, reason=str(error)) from error


class Database:
    """One open store. ``read_only`` opens an existing one without creating, migrating or checkpointing it."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._waits = True
        self._commits = self._synced = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._going: deque[tuple[asyncio.Future[None], Exception | None]] = deque()
        self._syncing: asyncio.Task[None] | None = None
        self._moved = 0
        self._moving: asyncio.Task[None] | None = None
        self._mover: sqlite3.Connection | None = None
        self._mover_lock = threading.Lock()
        self._journal = -1
        self._translated = _Translated(path)
        if read_only:
            quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
            with self._translated:
                self._connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, check_same_thread=False)
            self._connection.isolation_level = None
            return
        with self._translated:
            self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST}")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA cache_size = -1024")  # KiB: records are few, memory is promised small
        present = self.version
        known = migrations()
        if present > known[-1][0]:
            raise errors.StoreTooNew(path=self.path, found=present, known=known[-1][0])
        waiting = [(version, script) for version, script in known if version > present]
        if waiting and present:
            with contextlib.closing(sqlite3.connect(f"{self.path}.before-{waiting[0][0]}")) as copy:
                self._connection.backup(copy)
        for version, script in waiting:
            self._migrate(version, script)
        # here, not when it is needed first: SQLite keeps a second connection's files open for as long as the first's
        self._mover = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._mover.execute("SELECT name FROM sqlite_master").fetchall()

    def _migrate(self, version: int, script: str) -> None:
        try:
            self._connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {version};\nCOMMIT;",
            )
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @property
    def version(self) -> int:
        """The schema's version; 0 is an empty file."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is executed inside is on disk as a whole when this ends, or not at all when it raises."""
        with self._lock, self._translated:
            self._set_waiting()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
                self._commits += 1
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def execute(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run one statement; outside of a transaction it is one by itself. Returns how many rows it changed."""
        with self._lock, self._translated:
            self._set_waiting()
            changed = self._connection.execute(statement, values).rowcount
            self._commits += 1
            return changed

    def _set_waiting(self) -> None:
        """Whether the next commit waits for the disk: as its task has said, but not in the middle of a transaction."""
        waits = not _DEFERRED.get()
        if waits != self._waits and not self._connection.in_transaction:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if waits else 'NORMAL'}")
            self._waits = waits

    async def durable(self) -> None:
        """Return once all that was committed before is on disk. Raises `errors.DiskFull`.

        Those who wait go on one in a turn of the loop, others being served in between.
        """
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._commits, waiting))
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        await waiting

    async def _sync(self) -> None:
        """Sync for those who wait, again and again until nobody does."""
        try:
            while self._waiting:
                commits, failed = self._commits, None
                if self._synced < self._waiting[-1][0]:
                    try:
                        await asyncio.to_thread(self._sync_journal)
                        self._synced = max(self._synced, commits)
                    except Exception as error:
                        failed = errors.from_os(error, self.path) if isinstance(error, OSError) else error
                self._let_go(commits, failed)
                if self._commits - self._moved >= MOVED and self._moving is None:
                    self._moving = asyncio.create_task(self._move())
        finally:
            self._syncing = None

    def _let_go(self, commits: int, failed: Exception | None) -> None:
        """Those whose commits were synced go on, or are told why they were not."""
        resting = not self._going
        while self._waiting and self._waiting[0][0] <= commits:
            self._going.append((self._waiting.popleft()[1], failed))
        if resting:
            self._next()

    def _next(self) -> None:
        """Let one go on in this turn of the loop, and the others in those to come."""
        while self._going:
            waiting, failed = self._going.popleft()
            if not waiting.done():
                if failed is not None:
                    waiting.set_exception(failed)
                else:
                    waiting.set_result(None)
                break
        if self._going:
            asyncio.get_running_loop().call_soon(self._next)

    async def _move(self) -> None:
        """Move what is in the journal until nothing came meanwhile: SQLite begins it anew then."""
        try:
            while self._moved != self._commits:
                commits = self._commits
                await asyncio.to_thread(self._checkpoint)
                self._moved = commits
                await asyncio.sleep(PAUSE)
        except sqlite3.Error as error:  # the journal has it all: the next time, or SQLite itself, does it
            LOG.warning("the journal of %s could not be emptied: %s", self.path, error)
        finally:
            self._moving = None

    def _checkpoint(self) -> None:
        with self._mover_lock:
            if self._mover is not None:
                self._mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _sync_journal(self) -> None:
        """What is not in the journal any more has been synced by SQLite, when it was moved from there."""
        if self._journal < 0:
            self._journal = os.open(self.path + "-wal", os.O_RDONLY | os.O_CLOEXEC)
            directory = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        os.fdatasync(self._journal)

    def execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each of ``rows``; meant for use inside a transaction."""
        with self._lock, self._translated:
            self._connection.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        with self._lock, self._translated:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        if self._moving is not None:
            self._moving.cancel()
        with self._mover_lock:
            mover, self._mover = self._mover, None
            if mover is not None:
                mover.close()
        with self._lock:
            self._connection.close()
            if self._journal >= 0:
                os.close(self._journal)
                self._journal = -1
