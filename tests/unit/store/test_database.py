"""The store's file: versions, transactions, and a reader that leaves no trace."""

import os
import sqlite3
from pathlib import Path

import pytest

from banger import errors
from banger.store import database
from banger.store.database import Database


def test_a_new_store_is_at_the_newest_version(tmp_path: Path) -> None:
    store = Database(str(tmp_path / "banger.db"))
    assert store.version == database.migrations()[-1][0]
    assert store.rows("PRAGMA journal_mode") == [("wal",)]
    assert store.rows("PRAGMA synchronous") == [(2,)]
    assert store.rows("PRAGMA foreign_keys") == [(1,)]


def test_migrations_are_numbered_without_gaps_and_their_tables_are_strict(tmp_path: Path) -> None:
    assert [version for version, _ in database.migrations()] == list(range(1, len(database.migrations()) + 1))
    store = Database(str(tmp_path / "banger.db"))
    tables = store.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL")
    assert {name for name, _ in tables} == {"operations", "tasks", "vms", "images"}
    assert all("STRICT" in sql for _, sql in tables)


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = Database(str(tmp_path / "banger.db"))
    with pytest.raises(KeyError), store.transaction():
        store.execute("INSERT INTO vms VALUES ('1', 'a', '{}')")
        raise KeyError
    assert store.rows("SELECT * FROM vms") == []


def test_a_migration_that_fails_leaves_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "banger.db")
    Database(path).close()
    known = database.migrations()
    broken = "CREATE TABLE extra (a TEXT) STRICT; INSERT INTO nowhere VALUES (1);"
    monkeypatch.setattr(database, "migrations", lambda: [*known, (len(known) + 1, broken)])
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Database(path)
    monkeypatch.setattr(database, "migrations", lambda: known)
    store = Database(path)
    assert store.version == len(known)
    assert store.rows("SELECT name FROM sqlite_schema WHERE name = 'extra'") == []


def test_a_copy_is_kept_before_an_existing_store_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "banger.db"
    first = Database(str(path))
    first.execute("INSERT INTO vms VALUES ('1', 'a', '{}')")
    first.close()
    known = database.migrations()
    added = len(known) + 1
    monkeypatch.setattr(database, "migrations", lambda: [*known, (added, "DELETE FROM vms;")])
    assert Database(str(path)).rows("SELECT name FROM vms") == []
    assert sqlite3.connect(f"{path}.before-{added}").execute("SELECT name FROM vms").fetchall() == [("a",)]


def test_a_store_from_a_newer_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "banger.db"
    store = Database(str(path))
    store.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(errors.StoreTooNew, match="schema 99"):
        Database(str(path))
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (99,)


def test_a_reader_neither_creates_nor_writes(tmp_path: Path) -> None:
    path = tmp_path / "odd ?#% name.db"
    with pytest.raises(errors.StoreUnreadable, match="unable to open"):
        Database(str(path), read_only=True).rows("SELECT 1 FROM vms")
    assert not path.exists()
    writer = Database(str(path))
    writer.execute("INSERT INTO vms VALUES ('1', 'a', '{}')")
    reader = Database(str(path), read_only=True)
    assert reader.rows("SELECT name FROM vms") == [("a",)]
    with pytest.raises(errors.StoreUnreadable, match="readonly"):
        reader.execute("DELETE FROM vms")
    assert os.path.exists(path)


def test_a_damaged_store_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "banger.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(errors.StoreUnreadable, match="not a database"):
        Database(str(path))
    assert path.read_bytes() == b"this is no database" * 1000


def test_a_store_whose_pages_are_overwritten_is_named(tmp_path: Path) -> None:
    path = tmp_path / "banger.db"
    store = Database(str(path))
    for number in range(500):
        store.execute("INSERT INTO vms VALUES (?, ?, ?)", (f"id{number}", f"n{number}", "x" * 100))
    store.close()
    with open(path, "r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with pytest.raises(errors.StoreUnreadable, match="malformed"):
        Database(str(path)).rows("SELECT * FROM vms")


def test_a_store_that_is_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.StoreUnreadable, match="unable to open"):
        Database(str(tmp_path))


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    store = Database(str(tmp_path / "banger.db"))
    pages = store.rows("PRAGMA page_count")[0][0]
    store.rows(f"PRAGMA max_page_count = {pages}")  # what SQLite sees when the disk is full
    with pytest.raises(errors.DiskFull, match=r"banger\.db"):
        store.execute("INSERT INTO vms VALUES ('1', 'a', ?)", ("x" * 1_000_000,))
    assert store.rows("SELECT * FROM vms") == []
