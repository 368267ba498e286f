"""What a verb asks of the daemon: each request is a way there and back that somebody waits for."""

import pytest

from banger.cli.main import main
from banger.sdk import websocket
from banger.sdk.transport import Transport
from tests.integration.daemon.conftest import Daemon

CREATE, START, STOP, DELETE = "POST /v1/vms", "POST /v1/vms/web/start", "POST /v1/vms/web/stop", "DELETE /v1/vms/web"
FOLLOW, HOLD, EXEC = "GET /v1/operations/*/events", "GET /v1/vms/*/hold", "GET /v1/vms/web/exec?persistent=true"
SHOW, LIST = "GET /v1/vms/web", "GET /v1/vms"


@pytest.fixture
def asked(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that verbs make in this process."""
    for name, value in daemon.env.items():
        if name.startswith("BANGER_"):
            monkeypatch.setenv(name, value)
    found: list[str] = []

    def note(method: str, target: str) -> None:
        words = target.split("/")
        if words[2] == "operations" or words[-1] == "hold":
            words[3] = "*"  # an id
        found.append(f"{method} {'/'.join(words)}")

    request, upgrade = Transport.request, websocket.WebSocket.__init__

    def noted(self: Transport, method: str, target: str, *rest: object, **options: object) -> object:
        note(method, target)
        return request(self, method, target, *rest, **options)  # type: ignore[arg-type]

    def upgraded(self: websocket.WebSocket, transport: Transport, target: str) -> None:
        note("GET", target)
        upgrade(self, transport, target)

    monkeypatch.setattr(Transport, "request", noted)
    monkeypatch.setattr(websocket.WebSocket, "__init__", upgraded)
    return found


@pytest.mark.parametrize(
    ("line", "requests"),
    [
        ("run --rm --name web -- exit 0", [CREATE, FOLLOW, HOLD, EXEC, DELETE, FOLLOW]),
        ("run --name web -- exit 0", [CREATE, FOLLOW, EXEC]),
        ("vm create --name web", [CREATE, FOLLOW]),
    ],
)
def test_a_new_machine(asked: list[str], line: str, requests: list[str]) -> None:
    assert main(line.split()) == 0
    assert asked == requests


@pytest.mark.parametrize(
    ("line", "requests"),
    [
        ("exec web exit 0", [EXEC]),
        ("vm start web", [START, FOLLOW]),
        ("vm stop web", [STOP, FOLLOW]),
        ("rm web", [DELETE, FOLLOW]),
        ("vm show web", [SHOW]),
        ("ps", [LIST]),
    ],
)
def test_a_machine_that_is_there(daemon: Daemon, asked: list[str], line: str, requests: list[str]) -> None:
    daemon.make_at_rest("web")
    assert main(line.split()) == 0
    assert asked == requests
