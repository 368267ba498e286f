"""Changes on plain data, held against the structures that the daemon sends; and how both forms end."""

import msgspec
import pytest

from banger import errors
from banger.api.operation import ErrorBody, Operation, Phase, Progress
from banger.sdk import change
from banger.sdk.client import Client

BEGUN = Operation(id="7", kind="vm.create", subject="web", state="running", started=0.0)
FULL = Operation(
    id="7",
    kind="vm.create",
    subject="web",
    subject_id="5282b8d73c147be6",
    state="failed",
    step="disk",
    stage="copying",
    progress=Progress(done=1, total=2, unit="items"),
    notices=["one", "two"],
    result={"bytes": 5, "word": "x"},
    phases=[Phase(name="image", seconds=0.25), Phase(name="disk", seconds=1)],
    started=1.0,
    finished=2.0,
    error=ErrorBody(code="disk_full", message="no space", hint="free some", data={"path": "/"}, operation="8"),
)


@pytest.mark.parametrize("operation", [BEGUN, FULL], ids=["begun", "full"])
def test_a_change_is_what_the_operation_says(operation: Operation) -> None:
    found = change.read(msgspec.json.encode(operation))
    plain = msgspec.to_builtins(operation)
    assert vars(found) == {name: plain[name] for name in vars(found)}
    assert found.ended == operation.ended


def test_an_older_daemon_says_less() -> None:
    found = change.read(b'{"id":"7","kind":"vm.start","subject":"web","state":"done","colour":"green"}')
    assert (found.step, found.stage, found.notices, found.phases, found.result) == ("", "", [], [], {})
    assert (found.subject_id, found.progress, found.error, found.ended) == (None, None, None, True)


@pytest.mark.parametrize(
    "field",
    [
        '"id":7', '"state":null', '"subject_id":5', '"stage":[]', '"notices":[1]', '"notices":"text"', '"result":[]',
        '"progress":{"done":"1","unit":"bytes"}', '"progress":{"done":1}', '"phases":[{"name":"disk"}]',
        '"phases":[{"name":"disk","seconds":"1"}]', '"phases":{}', '"error":"text"', '"error":{"code":"x"}',
    ],
)  # fmt: skip
def test_what_is_no_change_is_not_understood(field: str) -> None:
    text = '{"id":"7","kind":"vm.start","subject":"web","state":"done",' + field + "}"
    with pytest.raises(errors.InternalError, match="not understood"):
        change.read(text.encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"null", b'{"id":"7"}'])
def test_nor_is_what_is_no_document_of_one(text: bytes) -> None:
    with pytest.raises(errors.InternalError, match="not understood"):
        change.read(text)


@pytest.mark.parametrize(
    ("operation", "kind", "words", "about"),
    [
        (FULL, errors.DiskFull, "no space", "8"),
        (msgspec.structs.replace(BEGUN, state="cancelled"), errors.Cancelled, "cancelled", "7"),
        (BEGUN, errors.InternalError, "operation 7 is running", "7"),
    ],
    ids=["failed", "cancelled", "under way"],
)
def test_both_forms_end_in_the_same_error(
    operation: Operation, kind: type[errors.BangerError], words: str, about: str
) -> None:
    client = Client("/nowhere")
    for judge in (
        lambda: client.result(operation),
        lambda: client.result(change.read(msgspec.json.encode(operation))),
    ):
        with pytest.raises(kind, match=words) as raised:
            judge()
        assert raised.value.operation == about


def test_what_has_ended_is_followed_no_more() -> None:
    done = msgspec.structs.replace(BEGUN, state="done")
    client = Client("/nowhere")
    assert client.wait(done) is done
    plain = change.read(msgspec.json.encode(done))
    assert client.wait(plain) is plain
