"""The client against the table of routes, and the public names of the package."""

import inspect

import pytest

import banger
from banger import errors
from banger.api.operation import ErrorBody, Operation
from banger.api.routes import ROUTES, VM_GET, VM_SESSION_SHOW, Route
from banger.sdk.client import Client
from banger.sdk.sessions import Session, Sessions
from banger.sdk.transport import target

SESSIONS = "vm_session_"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_is_a_documented_method(route: Route) -> None:
    if route.name.startswith(SESSIONS):
        assert callable(getattr(Session if "{session}" in route.path else Sessions, route.name.removeprefix(SESSIONS)))
        return
    method = getattr(Client, route.name)
    assert ("ref" in inspect.signature(method).parameters) == ("{ref}" in route.path)


def test_every_public_method_is_a_route_or_one_of_the_few_above_them() -> None:
    public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    above = {"connect", "close", "open", "document", "begin", "follow", "wait", "result", "sessions"}
    assert public - {route.name for route in ROUTES} == above
    for kind, more in ((Sessions, {"get"}), (Session, set())):
        names = {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        assert {f"{SESSIONS}{name}" for name in names - more} <= {route.name for route in ROUTES}


def test_a_name_cannot_leave_its_place_in_a_path() -> None:
    assert target(VM_GET, "../x?y", {"path": "/a b&c"}) == "/v1/vms/..%2Fx%3Fy/files?path=%2Fa%20b%26c"
    assert target(VM_SESSION_SHOW, ("../x", "{ref}/..?")) == "/v1/vms/..%2Fx/sessions/%7Bref%7D%2F..%3F"


def ended(state: str, error: ErrorBody | None = None) -> Operation:
    return Operation(id="7", kind="vm.create", subject="web", state=state, started=0.0, error=error)  # type: ignore[arg-type]


def test_the_end_of_an_operation_is_its_result_or_its_error() -> None:
    client = Client("/nowhere")
    assert client.result(ended("done")).subject == "web"
    with pytest.raises(errors.Cancelled):
        client.result(ended("cancelled"))
    with pytest.raises(errors.DiskFull) as raised:
        client.result(ended("failed", ErrorBody(code="disk_full", message="no space")))
    assert (raised.value.message, raised.value.operation) == ("no space", "7")
    with pytest.raises(errors.InternalError):
        client.result(ended("failed", ErrorBody(code="from_the_future", message="what")))


def test_public_names() -> None:
    assert set(dir(banger)) == {"Client", "Sandbox", "__version__", "errors"}
    assert banger.Client is Client
    assert banger.Sandbox.__name__ == "Sandbox"
    assert banger.errors is errors
    assert isinstance(banger.__version__, str)
    with pytest.raises(AttributeError):
        _ = banger.nothing
