"""Streams over HTTP: events, logs, holds and archives, with clients that read, dawdle and go away."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemon.conftest import Daemon, UnixHttp


def resident(daemon: Daemon) -> int:
    assert daemon.process is not None
    text = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) << 10


def test_events_tell_a_change_from_its_state_now_to_its_end(daemon: Daemon) -> None:
    operation = daemon.make()
    with daemon.stream(f"/v1/operations/{operation}/events") as reply:
        assert reply.headers["content-type"] == "application/x-ndjson"
        states = [json.loads(line) for line in reply.read().splitlines()]
    assert states[-1]["state"] == "done"
    assert [phase["name"] for phase in states[-1]["phases"]] == ["first", "second"]
    assert all(state["id"] == operation for state in states)


def test_a_change_goes_on_without_followers_and_is_undone_when_cancelled(daemon: Daemon) -> None:
    operation = daemon.make("hang-here")
    made = Path(daemon.paths.state, "hang-here.2")
    with daemon.stream(f"/v1/operations/{operation}/events") as reply:
        assert json.loads(reply.readline())["state"] == "running"
    daemon.wait_for(made.exists)
    assert daemon.get(f"/v1/operations/{operation[:6]}")[1]["state"] == "running"
    status, document = daemon.call("POST", f"/v1/operations/{operation}/cancel")
    assert (status, document["id"]) == (202, operation)
    with daemon.stream(f"/v1/operations/{operation}/events") as reply:
        last = json.loads(reply.read().splitlines()[-1])
    assert (last["state"], last["error"]["code"]) == ("cancelled", "cancelled")
    assert not made.exists()
    assert daemon.call("POST", f"/v1/operations/{operation}/cancel")[1]["state"] == "cancelled"


def test_everything_is_told_to_who_listens_until_the_daemon_ends(daemon: Daemon) -> None:
    with daemon.stream("/v1/events") as reply:
        assert reply.status == 200
        daemon.make("web")
        told = [json.loads(reply.readline()) for _ in range(2)]
        assert [(each["kind"], each["change"], each["name"], each["state"]) for each in told] == [
            ("operation", "vm.create", "web", "running"),
            ("operation", "vm.create", "web", "done"),
        ]
        daemon.end()
        with pytest.raises(http.client.IncompleteRead):
            reply.read()


def test_a_log_is_read_to_its_end_or_followed_until_the_client_goes(daemon: Daemon) -> None:
    daemon.make()
    with daemon.stream("/v1/vms/m/logs") as reply:
        assert reply.read() == b"console\n"
    with daemon.stream("/v1/vms/m/logs?follow=true") as reply:
        assert reply.readline() == b"console\n"
        assert reply.readline() == b"more\n"
    with daemon.stream("/v1/vms/none/logs?follow=true") as reply:
        assert reply.status == 404


def test_a_machine_is_held_for_as_long_as_the_stream_is_open(daemon: Daemon) -> None:
    daemon.make()
    with daemon.stream("/v1/vms/m/hold") as reply:
        assert reply.status == 200
        daemon.wait_for(lambda: "hold id-m" in daemon.notes())
        assert "release id-m" not in daemon.notes()
    daemon.wait_for(lambda: "release id-m" in daemon.notes())
    with daemon.stream("/v1/vms/none/hold") as reply:
        assert reply.status == 404


def test_ports_are_forwarded_for_as_long_as_the_stream_is_open(daemon: Daemon) -> None:
    daemon.make()
    with daemon.stream("/v1/vms/m/forward?port=8080:80&port=81") as reply:
        assert json.loads(reply.readline())["name"] == "m"
        assert "free 8080:80 81" not in daemon.notes()
    daemon.wait_for(lambda: "free 8080:80 81" in daemon.notes())
    with daemon.stream("/v1/vms/m/forward?port=1") as reply:
        assert len(reply.read().splitlines()) == 1, "its machine has ended"
    with daemon.stream("/v1/vms/none/forward?port=1") as reply:
        assert reply.status == 404


def test_an_archive_goes_in_with_constant_memory(daemon: Daemon) -> None:
    daemon.make()
    before = resident(daemon)

    def archive() -> Iterator[bytes]:
        for _ in range(512):
            yield bytes(1 << 18)

    connection = UnixHttp(daemon.paths.socket)
    with contextlib.closing(connection):
        connection.request("PUT", "/v1/vms/m/files?path=/x", archive(), encode_chunked=True)
        assert connection.getresponse().status == 200
    assert daemon.notes()[-1] == f"put /x {128 << 20}"
    assert resident(daemon) - before < 16 << 20


def test_an_archive_that_breaks_off_is_noticed(daemon: Daemon) -> None:
    daemon.make()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon.paths.socket)
        connection.sendall(
            b"PUT /v1/vms/m/files?path=/x HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
    daemon.wait_for(lambda: "put /x 5" in daemon.notes())


def test_an_archive_comes_out_with_constant_memory_at_the_clients_pace(daemon: Daemon) -> None:
    daemon.make()
    before = resident(daemon)
    with daemon.stream("/v1/vms/m/files?path=/2048") as reply:
        assert reply.headers["content-type"] == "application/x-tar"
        reply.read(65536)
        daemon.wait_for(lambda: "chunk 0" in daemon.notes())
        assert "chunk 64" not in daemon.notes()  # 4 MiB ahead of a client that waits would be too much
        size = 65536
        while chunk := reply.read(1 << 20):
            size += len(chunk)
    assert size == 2048 * 65536
    assert resident(daemon) - before < 16 << 20


def test_what_fails_before_the_archive_has_a_status_and_what_fails_later_breaks_it_off(daemon: Daemon) -> None:
    daemon.make()
    status, document = daemon.get("/v1/vms/m/files?path=/missing")
    assert (status, document["code"], document["message"]) == (422, "guest_refused", "/missing does not exist")
    with daemon.stream("/v1/vms/m/files?path=/late") as reply:
        assert reply.status == 200
        with pytest.raises(http.client.IncompleteRead):
            reply.read()
    daemon.wait_for(lambda: "a stream broke: the connection to the guest's agent was lost" in daemon.log.read_text())
    assert "Traceback" not in daemon.log.read_text()
