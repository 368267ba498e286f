"""What the doctor's report looks like: verdicts, mends, what was cleared away, and a daemon of another version."""

import json
from types import SimpleNamespace
from typing import Any, Self

import pytest

import banger
from banger.api import routes
from banger.api.routes import Route
from banger.cli import cmd_doctor
from banger.cli.terminal import Terminal

OTHER = "9.9"
CHECKS = [
    {"name": "version", "status": "pass", "detail": OTHER, "mend": ""},
    {"name": "disk space", "status": "fail", "detail": "none is free", "mend": "free some"},
]
FIXED = [
    {"kind": "process", "name": "77", "reason": "nobody knows it", "remedy": "end", "done": True, "error": ""},
    {"kind": "tap", "name": "tap-fc-9", "reason": "nobody has it", "remedy": "remove", "done": False, "error": "busy"},
    {"kind": "image", "name": "/i", "reason": "no record", "remedy": "", "done": False, "error": ""},
]


class Daemon:
    """Answers with a report of a version."""

    version = OTHER

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def document(self, route: Route) -> dict[str, Any]:
        fixed = FIXED if route is routes.DOCTOR_FIX else []
        return {"checks": [dict(each) for each in CHECKS], "fixed": fixed, "version": self.version}


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **flags: bool) -> tuple[int, str]:
    monkeypatch.setattr(cmd_doctor, "Client", Daemon)
    arguments = SimpleNamespace(**{"json": False, "fix": False} | flags)
    status = cmd_doctor.run(arguments, Terminal())  # type: ignore[arg-type]
    return status, capsys.readouterr().out


def test_rows_and_a_daemon_of_another_version(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out = shown(capsys, monkeypatch)
    lines = out.splitlines()
    assert status == 1
    assert lines[0] == f"WARN  version     the daemon is {OTHER}, this command {banger.__version__}"
    assert [each.strip() for each in lines[2:]] == ["FAIL  disk space  none is free", "free some"]
    monkeypatch.setattr(Daemon, "version", str(banger.__version__))
    assert shown(capsys, monkeypatch)[1].startswith("PASS  version")


def test_what_was_cleared_away_comes_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(capsys, monkeypatch, fix=True)[1].splitlines()[:3] == [
        "ended process 77: nobody knows it",
        "could not remove: tap tap-fc-9: busy",
        "left alone: image /i: no record",
    ]
    document = json.loads(shown(capsys, monkeypatch, fix=True, json=True)[1])
    assert document["fixed"] == FIXED and document["checks"][0]["status"] == "warn"
