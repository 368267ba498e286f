"""Named documents: machines and images as their services record them.

A row is ``id``, ``name`` and the whole structure as JSON. Names are unique: of any number of concurrent inserts with
one name, one wins and the others raise `errors.AlreadyExists`. Nothing is cached, so memory does not grow with the
number of records.
"""

import sqlite3
from typing import Generic, Protocol, TypeVar

import msgspec

from banger import errors
from banger.store.database import Database

NOUNS = {"vms": "machine", "images": "image"}
"""Each table, and the noun that errors call its rows by."""

SHORTEST_PREFIX = 2
"""Fewest letters of an id that `Records.resolve` takes for one."""


class Named(Protocol):
    """What the store must know of a record."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Records(Generic[T]):
    """The rows of one table, each a ``struct``."""

    def __init__(self, database: Database, table: str, struct: type[T]) -> None:
        self.noun = NOUNS[table]  # also keeps any other word out of the statements below
        self._table = table
        self._database = database
        self._decoder = msgspec.json.Decoder(struct)
        self._encoder = msgspec.json.Encoder()

    def _text(self, record: T) -> str:
        return self._encoder.encode(record).decode()

    def insert(self, record: T) -> None:
        """Add a record. Raises `errors.AlreadyExists` when the name (or the id) is taken."""
        try:
            self._database.execute(
                f"INSERT INTO {self._table} (id, name, document) VALUES (?, ?, ?)",  # noqa: S608 - a table of NOUNS
                (record.id, record.name, self._text(record)),
            )
        except sqlite3.IntegrityError:
            raise errors.AlreadyExists(kind=self.noun, name=record.name) from None

    def replace(self, record: T) -> None:
        """Write a record anew. Raises `errors.NotFound` when it is gone, `errors.AlreadyExists` on a taken name."""
        try:
            changed = self._database.execute(
                f"UPDATE {self._table} SET name = ?, document = ? WHERE id = ?",  # noqa: S608
                (record.name, self._text(record), record.id),
            )
        except sqlite3.IntegrityError:
            raise errors.AlreadyExists(kind=self.noun, name=record.name) from None
        if not changed:
            raise errors.NotFound(kind=self.noun, name=record.name)

    def delete(self, record_id: str) -> None:
        """Remove a record; nothing to remove is fine."""
        self._database.execute(f"DELETE FROM {self._table} WHERE id = ?", (record_id,))  # noqa: S608

    def by_id(self, record_id: str) -> T | None:
        return self._one("id = ?", record_id)

    def by_name(self, name: str) -> T | None:
        return self._one("name = ?", name)

    def list(self) -> "list[T]":
        """All records by name."""
        rows = self._database.rows(f"SELECT document FROM {self._table} ORDER BY name")  # noqa: S608
        decode = self._decoder.decode
        return [decode(document) for (document,) in rows]

    def count(self) -> int:
        ((number,),) = self._database.rows(f"SELECT count(*) FROM {self._table}")  # noqa: S608
        return int(number)

    def resolve(self, reference: str) -> T:
        """The record of that name, of that id, or whose id alone begins so.

        Raises `errors.NotFound`, or `errors.Ambiguous` when several ids begin so.
        """
        exact = self.by_name(reference) or self.by_id(reference)
        if exact is not None:
            return exact
        if len(reference) < SHORTEST_PREFIX:
            raise errors.NotFound(kind=self.noun, name=reference)
        rows = self._database.rows(
            f"SELECT id, name, document FROM {self._table} WHERE substr(id, 1, ?) = ? ORDER BY name LIMIT 6",  # noqa: S608
            (len(reference), reference),
        )
        if not rows:
            raise errors.NotFound(kind=self.noun, name=reference)
        if len(rows) > 1:
            raise errors.Ambiguous(name=reference, candidates=", ".join(f"{name} ({key})" for key, name, _ in rows))
        return self._decoder.decode(rows[0][2])

    def _one(self, condition: str, value: str) -> T | None:
        rows = self._database.rows(f"SELECT document FROM {self._table} WHERE {condition}", (value,))  # noqa: S608
        return self._decoder.decode(rows[0][0]) if rows else None
