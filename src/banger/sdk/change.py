"""Changes as the daemon tells of them: read, followed to their end, judged by it, and held.

There are two forms: the `Operation` of `banger.api` for programs that use the library, and `Change` for the command
line, which must be done before msgspec would be loaded. All but `read` serves both.
"""

import banger
from banger import document
from banger.api import routes
from banger.sdk.transport import failure, not_understood, told

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from banger.api.operation import Operation
    from banger.sdk.client import Client
    from banger.sdk.transport import Reply

    Either = TypeVar("Either", Operation, "Change")

_CHANGE: "document.Kind" = {
    "id": str,
    "kind": str,
    "subject": str,
    "subject_id": (str, None),
    "state": str,
    "step": (str, None),
    "stage": (str, None),
    "progress": ({"done": int, "total": (int, None), "unit": str}, None),
    "notices": ([str], None),
    "result": (dict, None),
    "phases": ([{"name": str, "seconds": (float, int)}], None),
    "error": ({"code": str, "message": str}, None),
}


class Change:
    """An `api.operation.Operation` as plain data: the same fields, and dictionaries for the structures in them."""

    def __init__(self, found: "dict[str, Any]") -> None:
        self.id: str = found["id"]
        self.kind: str = found["kind"]
        self.subject: str = found["subject"]
        self.subject_id: str | None = found.get("subject_id")
        self.state: str = found["state"]
        self.step: str = found.get("step") or ""
        self.stage: str = found.get("stage") or ""
        self.progress: dict[str, Any] | None = found.get("progress")
        self.notices: list[str] = found.get("notices") or []
        self.result: dict[str, int | str] = found.get("result") or {}
        self.phases: list[dict[str, Any]] = found.get("phases") or []
        self.error: dict[str, Any] | None = found.get("error")

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


def read(text: bytes) -> Change:
    """The change that a document tells of."""
    try:
        found = document.loads(text)
        if not document.fits(found, _CHANGE):
            raise ValueError("it is no change")
    except ValueError as error:
        raise not_understood(error) from error
    return Change(found)


def follow(client: "Client", operation: "Either", read: "Callable[[bytes], Either]") -> "Iterator[Either]":
    """The change as it is now and after every step, up to and including its end; ``read`` makes each of a document."""
    current = operation
    for attempt in range(3):
        try:
            if attempt:
                current = read(client.open(routes.OPERATION_SHOW, operation.id).read())
                yield current
            if current.ended:
                return
            with client.open(routes.OPERATION_EVENTS, operation.id, quiet=True) as reply:
                for line in reply.lines():
                    current = read(line)
                    yield current
                    if current.ended:
                        return
        except banger.errors.DaemonUnreachable as error:
            lost: banger.errors.BangerError = error
        except banger.errors.NotFound:
            raise banger.errors.Interrupted() from None
        else:
            lost = banger.errors.InternalError(detail=f"the daemon stopped telling about operation {operation.id}")
    raise lost


def judge(operation: "Operation | Change") -> None:
    """Nothing, for a change that has ended well; otherwise its error is raised."""
    if operation.state == "done":
        return
    body = operation.error
    if body is not None:
        error = told(body) if isinstance(body, dict) else failure(body)
    elif operation.state == "cancelled":
        error = banger.errors.Cancelled()
    else:
        error = banger.errors.InternalError(detail=f"operation {operation.id} is {operation.state}")
    error.operation = error.operation or operation.id
    raise error


def hold(
    client: "Client", operation: "Either", ephemeral: bool, watch: "Callable[[Either], None] | None" = None
) -> "tuple[Reply | None, Either]":
    """Follow the making of a machine to its end, and hold it from the moment that it is on record.

    Returns the hold, None where the machine is not ephemeral, and the operation as it ended.
    """
    held = None
    ended = operation
    try:
        for each in client.follow(operation):
            ended = each
            if ephemeral and held is None and not each.ended:
                try:
                    held = client.vm_hold(operation.subject_id or operation.subject)
                except banger.errors.NotFound:
                    pass  # the record may come a step later than the operation
            if watch is not None:
                watch(each)
        client.result(ended)
        if ephemeral and held is None:
            held = client.vm_hold(operation.subject_id or operation.subject)
    except BaseException:
        if held is not None:
            held.close()
        raise
    return held, ended
