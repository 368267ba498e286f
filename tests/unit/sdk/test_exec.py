"""Events of an exec stream as plain data, and what the daemon must not say."""

import json

import msgspec
import pytest

from banger import errors
from banger.api.operation import ErrorBody
from banger.api.vm import ExecEvent, ExecVm
from banger.sdk import exec
from banger.sdk.exec import Command, Output
from banger.sdk.transport import encoded


def command() -> Command:
    """One that has begun, without its stream."""
    begun = Command.__new__(Command)
    begun.exit_code, begun.signal, begun.timed_out, begun.ended = None, None, False, False
    return begun


def taken(event: ExecEvent) -> Command:
    begun = command()
    begun._take(exec._event(msgspec.json.encode(event).decode()))
    return begun


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (ExecEvent(kind="started"), (None, None, False, False)),
        (ExecEvent(kind="ended", exit_code=7), (7, None, False, True)),
        (ExecEvent(kind="ended", signal=9), (None, 9, False, True)),
        (ExecEvent(kind="ended", timed_out=True), (None, None, True, True)),
    ],
)
def test_an_event_says_how_it_ended(event: ExecEvent, found: tuple[object, ...]) -> None:
    ended = taken(event)
    assert (ended.exit_code, ended.signal, ended.timed_out, ended.ended) == found


def test_a_failure_is_its_own_class_again() -> None:
    body = ErrorBody(code="command_not_found", message="'x' was not found in the guest", hint="h", operation="op")
    with pytest.raises(errors.CommandNotFound, match="'x' was not found") as raised:
        taken(ExecEvent(kind="failed", error=body))
    assert (raised.value.advice, raised.value.operation) == ("h", "op")


def test_a_failure_without_a_reason_is_a_fault() -> None:
    with pytest.raises(errors.InternalError, match="gave no reason"):
        taken(ExecEvent(kind="failed"))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "1", "{}", '{"kind":1}', '{"kind":"gone"}', '{"kind":"ended","exit_code":"0"}',
        '{"kind":"ended","signal":1.5}', '{"kind":"ended","timed_out":1}', '{"kind":"detached"}',
        '{"kind":"failed","error":"x"}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError):
        exec._event(text)


def test_fields_of_a_newer_daemon_do_no_harm() -> None:
    assert exec._event('{"kind":"started","colour":"green"}')["kind"] == "started"


def test_a_request_is_a_structure_or_plain_data() -> None:
    plain: dict[str, object] = {"argv": ["a", "ü"], "tty": True, "timeout": 1.5}
    decoded = msgspec.json.decode(encoded(plain), type=ExecVm)
    assert decoded == ExecVm(argv=["a", "ü"], tty=True, timeout=1.5)
    assert json.loads(encoded(decoded))["argv"] == ["a", "ü"]


def test_output_has_names_and_places() -> None:
    output = Output((2, b"x"))
    stream, data = output
    assert (stream, data) == (output.stream, output.data) == (2, b"x")
