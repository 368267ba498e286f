"""Requests, good and bad: every one is answered in the words of the interface, and none is a fault of the daemon's."""

import json
import re
import socket
from typing import Any

import pytest

from banger.api.routes import ROUTES, Route
from tests.integration.daemon.conftest import PATIENCE, Daemon


@pytest.fixture(scope="module")
def bodies() -> dict[str, Any]:
    """A valid body for every structure that needs one."""
    return {
        "vm.CreateVm": {"name": "n"},
        "image.PullImage": {"reference": "r"},
        "image.ImportImage": {"path": "/p", "name": "n"},
        "recipe.BuildImage": {"name": "n"},
        "workspace.AskStates": {"path": "/p", "names": []},
        "session.StartSession": {"argv": ["cat"]},
        "kernel.ImportKernel": {"path": "/p", "name": "n"},
    }


def address(route: Route, ref: str = "m") -> str:
    needed = "&".join(f"{each}=/x" for each in ("path", "source") if each in route.query)
    return route.path.replace("{ref}", ref).replace("{session}", "s") + (f"?{needed}" if needed else "")


def test_every_route_is_answered_as_its_row_says(daemon: Daemon, bodies: dict[str, Any]) -> None:
    daemon.make()
    seen = {}
    for route in ROUTES:
        if (route.stream and route.method != "PUT" and route.name != "operation_events") or route.name == "daemon_stop":
            continue  # streams and the end have tests of their own
        status, document = daemon.call(route.method, address(route), bodies.get(route.request))
        assert "code" not in document or document["code"] != "no_such_route", route.name
        seen[route.name] = status
    assert seen.pop("vm_health") == 500  # a fault of the stand-in's
    assert {name for name, status in seen.items() if status == 200} == {
        "daemon_status", "config_show", "doctor", "operation_list", "vm_list", "vm_show", "vm_keep", "vm_stats",
        "vm_ports", "vm_put", "vm_workspace", "vm_states", "vm_session_start", "vm_session_list", "vm_session_send",
        "df", "image_list", "image_cache", "catalog", "kernel_list", "doctor_fix",
    }  # fmt: skip
    assert {name for name, status in seen.items() if status == 202} == {"vm_create"}
    assert {status for status in seen.values() if status >= 500} <= {500, 502, 507}


def test_the_statuses_are_those_of_the_errors(daemon: Daemon) -> None:
    daemon.make()
    for method, path, body, status, code in [
        ("GET", "/v1/vms/none", None, 404, "not_found"),
        ("POST", "/v1/vms", {"name": "m"}, 409, "already_exists"),
        ("POST", "/v1/vms/m/stop", {"timeout": 5}, 409, "wrong_state"),
        ("POST", "/v1/images/pull", {"reference": "x"}, 502, "source_unavailable"),
        ("POST", "/v1/kernels/pull", None, 507, "disk_full"),
        ("DELETE", "/v1/images/i", None, 409, "in_use"),
        ("GET", "/v1/operations/ffffffff", None, 404, "not_found"),
    ]:
        found, document = daemon.call(method, path, body)
        assert (found, document["code"]) == (status, code), path
        assert document["message"]


def test_a_fault_of_ours_says_nothing_but_that_and_is_in_the_log(daemon: Daemon) -> None:
    status, document = daemon.get("/v1/vms/m/health")
    assert (status, document["code"]) == (500, "internal")
    assert "Traceback" not in document["message"]
    assert "Traceback" in daemon.log.read_text()


SENSELESS: list[tuple[bytes, str]] = [
    (b"", "required field `reference`"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[]", "Expected `object`"),
    (b'{"reference": 5}', "Expected `str`"),
    (b'{"reference": "x", "nmae": "y"}', "unknown field `nmae`"),
    (b'{"reference": "x", "size": 1e400}', "size"),
    (b'{"reference": "\xff"}', "not JSON"),
    (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "unknown field `a`"),
    (b'{"a":' * 200_000, "unknown field `a`"),
]


def test_a_body_that_makes_no_sense_is_the_clients_error(daemon: Daemon) -> None:
    for body, says in SENSELESS:
        status, document = daemon.call("POST", "/v1/images/pull", body)
        assert (status, document["code"]) == (400, "usage"), body[:40]
        assert says in document["message"], body[:40]


def test_a_body_that_is_too_large_is_refused_before_and_while_it_comes(daemon: Daemon) -> None:
    big = b'{"reference": "' + b"x" * (2 << 20) + b'"}'
    assert daemon.call("POST", "/v1/images/pull", big)[0] == 413
    head = b"POST /v1/images/pull HTTP/1.1\r\nHost: b\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert b" 413 " in daemon.raw(head + chunk * 20 + b"0\r\n\r\n")
    assert daemon.answers()


def test_unknown_paths_methods_and_parameters_are_named(daemon: Daemon) -> None:
    daemon.make()
    for method, path, status, code in [
        ("GET", "/", 404, "no_such_route"),
        ("GET", "/v1/vms/", 404, "no_such_route"),
        ("GET", "/v1/vms/m/../m", 404, "no_such_route"),
        ("GET", "/v2/vms", 404, "no_such_route"),
        ("GET", "/v1/vms/a%2Fb", 404, "no_such_route"),
        ("PATCH", "/v1/vms", 405, "wrong_method"),
        ("HEAD", "/v1/vms/m/hold", 405, None),
        ("OPTIONS", "*", 404, "no_such_route"),
        ("GET", "/v1/vms?all=1", 400, "usage"),
        ("GET", "/v1/vms/m/logs?follow=perhaps", 400, "usage"),
        ("GET", "/v1/vms/m/files", 400, "usage"),
        ("PUT", "/v1/vms/m/files?path=", 400, "usage"),
        ("GET", "/v1/vms/m/exec", 400, "usage"),
        ("GET", "/v1/vms/%00%0a%1b[31m", 404, "not_found"),
        ("GET", "/v1/vms/%ff", 404, "not_found"),
    ]:
        found, document = daemon.call(method, path)
        assert found == status, (path, document)
        if code is not None:
            assert document["code"] == code, path


NOT_HTTP = [
    b"\x00\x01\x02\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /v1/vms HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: b\r\n\r\n",
    b"GET /v1/vms HTTP/1.1\r\nHost: b\r\nBad Header: x\r\n\r\n",
    b"GET /v1/vms HTTP/1.1\r\nHost: b\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    b"POST /v1/vms HTTP/1.1\r\nHost: b\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/vms HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/vms HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
]


def test_what_is_not_http_is_refused_and_hurts_nobody(daemon: Daemon) -> None:
    for sent in NOT_HTTP:
        answer = daemon.raw(sent)
        assert re.match(rb"HTTP/1.1 4\d\d ", answer), (sent[:60], answer[:200])
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"]
    assert daemon.answers()
    assert "Traceback" not in daemon.log.read_text()


def test_requests_that_break_off_hurt_nobody(daemon: Daemon) -> None:
    for part in (b"", b"GET /v1", b"POST /v1/vms HTTP/1.1\r\nHost: b\r\nContent-Length: 100\r\n\r\n{"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(daemon.paths.socket)
            connection.sendall(part)
    assert daemon.answers()
    assert "Traceback" not in daemon.log.read_text()


def test_twenty_clients_at_once_create_one_machine_of_a_name(daemon: Daemon) -> None:
    body = b'{"name": "same"}'
    head = b"POST /v1/vms HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for client in clients:
        client.settimeout(PATIENCE)
        client.connect(daemon.paths.socket)
        client.sendall(head)
    for client in clients:
        client.sendall(body)
    statuses = []
    for client in clients:
        with client, client.makefile("rb") as reply:
            statuses.append(int(reply.readline().split()[1]))
    assert sorted(statuses) == [202] + [409] * 19


def test_the_document_of_the_interface_is_served(daemon: Daemon) -> None:
    status, document = daemon.get("/v1/openapi.json")
    assert status == 200
    assert document["openapi"] == "3.1.0"
