"""Changes and their tasks on disk.

A change is one row with its specification and its last committed `Operation`; its tasks are rows in order. Progress and
stages between commits are not written. Rows of ended changes are pruned by number and by age.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from banger.api.operation import Operation
from banger.store.database import Database

TaskState = Literal["planned", "doing", "done", "undoing", "undone"]

_LAST = "\U0010ffff"
"""Sorts behind all that ids consist of."""

KEPT = 200
"""How many ended changes are kept at most."""

KEPT_SECONDS = 24 * 3600.0
"""How long an ended change is kept at most."""


class TaskRow(NamedTuple):
    """A task on record. ``resource`` and ``identity`` say what it makes; ``facts`` is what it learned of that."""

    name: str
    state: TaskState
    resource: str | None
    identity: str | None
    facts: dict[str, object]


class StoredChange(NamedTuple):
    """A change as the store has it."""

    operation: Operation
    spec: dict[str, object]
    tasks: list[TaskRow]


class Operations:
    """The rows of all changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._operation = msgspec.json.Decoder(Operation)
        self._mapping = msgspec.json.Decoder(dict[str, object])

    def add(self, operation: Operation, spec: Mapping[str, object], tasks: Sequence[TaskRow]) -> None:
        """Put a change and all of its tasks on record; `durable` when that is awaited."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO operations (id, kind, state, started, spec, document) VALUES (?, ?, ?, ?, ?, ?)",
                (operation.id, operation.kind, operation.state, operation.started, _json(spec), _json(operation)),
            )
            self._database.execute_many(
                "INSERT INTO tasks (operation, position, name, state, resource, identity) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (operation.id, position, task.name, task.state, task.resource, task.identity)
                    for position, task in enumerate(tasks)
                ],
            )

    async def durable(self) -> None:
        """Wait until all that was saved is on disk."""
        await self._database.durable()

    def save(self, operation: Operation, states: Mapping[int, TaskState]) -> None:
        """Commit a change as it is now, with the states that tasks have come to; prunes when the change has ended."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE operations SET state = ?, finished = ?, document = ? WHERE id = ?",
                (operation.state, operation.finished, _json(operation), operation.id),
            )
            self._database.execute_many(
                "UPDATE tasks SET state = ? WHERE operation = ? AND position = ?",
                [(state, operation.id, position) for position, state in states.items()],
            )
            if operation.finished is not None:
                self._prune(operation.finished - KEPT_SECONDS)

    def _prune(self, before: float) -> None:
        self._database.execute(
            "DELETE FROM operations WHERE finished < ? OR id IN"
            " (SELECT id FROM operations WHERE finished IS NOT NULL ORDER BY finished DESC, id LIMIT -1 OFFSET ?)",
            (before, KEPT),
        )

    def record(self, operation: str, position: int, facts: Mapping[str, object]) -> None:
        """Commit what a task has learned of its resource."""
        self._database.execute(
            "UPDATE tasks SET facts = ? WHERE operation = ? AND position = ?", (_json(facts), operation, position)
        )

    def unended(self) -> list[StoredChange]:
        """Changes that had not ended when they were last committed, oldest first."""
        rows = self._database.rows(
            "SELECT document, spec FROM operations WHERE finished IS NULL ORDER BY started, id",
        )
        found = []
        for document, spec in rows:
            operation = self._operation.decode(document)
            found.append(StoredChange(operation, self._mapping.decode(spec), self.tasks(operation.id)))
        return found

    def tasks(self, operation: str) -> list[TaskRow]:
        """The tasks of a change in order."""
        rows = self._database.rows(
            "SELECT name, state, resource, identity, facts FROM tasks WHERE operation = ? ORDER BY position",
            (operation,),
        )
        return [
            TaskRow(name, state, resource, identity, self._mapping.decode(facts))
            for name, state, resource, identity, facts in rows
        ]

    def beginning_with(self, prefix: str) -> list[Operation]:
        """Ended changes whose id begins so, at most two."""
        rows = self._database.rows(
            "SELECT document FROM operations WHERE id >= ? AND id < ? AND finished IS NOT NULL LIMIT 2",
            (prefix, prefix + _LAST),
        )
        return [self._operation.decode(document) for (document,) in rows]

    def ended(self) -> list[Operation]:
        """Changes that have ended, newest first."""
        rows = self._database.rows(
            "SELECT document FROM operations WHERE finished IS NOT NULL ORDER BY started DESC, id"
        )
        return [self._operation.decode(document) for (document,) in rows]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
