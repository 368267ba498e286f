"""Failures as they are recorded and sent: any exception becomes an `ErrorBody`, and an `ErrorBody` an exception again.

What is not one of banger's own errors is a fault of ours: its text stays in the log, and who asked gets the change's id
to find it by.
"""

import logging

from banger import errors
from banger.api.operation import ErrorBody
from banger.log import printable

LOG = logging.getLogger("banger.engine")

Value = str | int | float | bool | list[str] | None


def error_body(error: BaseException, operation: str | None = None) -> ErrorBody:
    """The failure in the words of the wire. Logs the traceback of what is not a `BangerError`."""
    if not isinstance(error, errors.BangerError):
        LOG.error("unexpected %s", type(error).__name__, exc_info=error, extra={"operation": operation})
        error = errors.InternalError(detail=printable(f"{type(error).__name__}: {error}"))
    return ErrorBody(
        code=error.code,
        message=error.message,
        hint=error.advice,
        data={key: _plain(value) for key, value in error.data.items()},
        operation=operation or error.operation,
    )


def from_body(body: ErrorBody) -> errors.BangerError:
    """The exception that a body was made from."""
    return errors.from_wire(body.code, body.message, body.hint, body.data, body.operation)


def _plain(value: object) -> Value:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [str(each) for each in value]
    return str(value)
