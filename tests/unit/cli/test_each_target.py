"""Several targets are changed at once: all looked up, then all begun, and only then is any waited for."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from banger import errors
from banger.cli import change
from banger.cli.failures import Failures
from banger.cli.terminal import Terminal


class Script:
    """What was done for which target, in order. ``fails`` says at what, and with which error."""

    def __init__(self, patch: pytest.MonkeyPatch, **fails: errors.BangerError) -> None:
        self.told: list[str] = []
        self.fails = fails
        patch.setattr(change, "carry_out", lambda client, begun, terminal: self._do("wait", begun))
        patch.setattr(change, "cancelled", lambda client, begun: self._do("cancel", begun))

    def _do(self, what: str, target: Any) -> Any:
        name = getattr(target, "subject", target)
        self.told.append(f"{what} {name}")
        if f"{what}_{name}" in self.fails:
            raise self.fails[f"{what}_{name}"]
        return target

    def play(self, *names: str) -> int:
        client: Any = None
        return change.each_target(
            client,
            names,
            lambda name: str(self._do("identify", name)),
            lambda name: self._do("begin", SimpleNamespace(subject=name)),
            Terminal(),
            json=True,
        )


def test_all_are_begun_before_any_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch)
    assert script.play("one", "two", "one", "three") == 0
    assert script.told == [
        "identify one", "identify two", "identify one", "identify three", "begin one", "begin two", "begin three",
        "wait one", "wait two", "wait three",
    ]  # fmt: skip


def test_one_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    absent = errors.NotFound(kind="machine", name="one")
    busy = errors.Busy(kind="machine", name="two", change="vm.stop")
    script = Script(monkeypatch, identify_one=absent, begin_two=busy)
    with pytest.raises(Failures) as failed:
        script.play("one", "two", "three")
    assert failed.value.failures == [absent, busy]
    assert script.told[-3:] == ["begin two", "begin three", "wait three"]
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(each["name"], each["done"]) for each in results] == [("one", False), ("two", False), ("three", True)]


def test_who_interrupts_the_wait_takes_back_all_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch, wait_one=errors.Cancelled())
    with pytest.raises(Failures):
        script.fails["wait_two"] = errors.Cancelled()
        script.play("one", "two", "three")
    assert script.told[3:] == [
        "begin one", "begin two", "begin three", "wait one", "cancel two", "cancel three", "wait two",
        "cancel three", "wait three",
    ]  # fmt: skip
