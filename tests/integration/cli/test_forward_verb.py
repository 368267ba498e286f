"""Ports of this host that lead into a real guest: published with its machine, and for as long as a command runs."""

import contextlib
import json
import os
import signal
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from tests import leaks
from tests.home import Home
from tests.integration.cli.terminal import OnTerminal

pytestmark = pytest.mark.qemu

SERVERS = """
mkdir -p /www && echo hello >/www/index.html
httpd -p 127.0.0.1:8080 -h /www
nc -ll -p 8081 -e cat </dev/null >/dev/null 2>&1 &
nc -ll -p 8082 -e echo first </dev/null >/dev/null 2>&1 &
nc -ll -p 8083 -e sleep 600 </dev/null >/dev/null 2>&1 &
"""
NOBODY = 8084
AT_ONCE, FEW = 200, 4


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in found]


def fetch(port: int, address: str = "127.0.0.1") -> bytes:
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=60) as reply:
        return bytes(reply.read())


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the listener ended while it connected: the next is refused
        return False
    return False


def daemon_pid(room: Home) -> int:
    return int(json.loads(room.banger("daemon", "status", "--json", check=True).stdout)["pid"])


def test_ports_of_a_real_guest(room: Home) -> None:
    web, echo, first, deaf, nobody, later = free_ports(6)
    pairs = ((web, 8080), (echo, 8081), (first, 8082), (deaf, 8083), (nobody, NOBODY))
    wanted = [word for host, guest in pairs for word in ("--publish", f"{host}:{guest}")]
    made = ("run", "-d", "--name", "served", "--image", "busybox", "--memory", "256M")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        clash = room.banger(*made, *wanted, "--publish", f"{taken}:80")
        assert (clash.status, f"port {taken}" in clash.stderr) == (125, True)
        assert room.banger("ps", "-q", check=True).stdout == ""
    room.banger(*made, *wanted, check=True)
    try:
        room.banger("exec", "served", "--", "sh", "-c", SERVERS, check=True)
        ways_are_told(room, web)
        the_worst(echo, first, deaf, nobody)
        a_killed_daemon(room, web, echo)
        for_as_long_as_a_command_runs(room, later)
        held = connect(echo)
        room.banger("vm", "stop", "served", "--timeout", "5s", check=True)
        with held, contextlib.suppress(ConnectionResetError):  # unless the guest's server ended it in order
            assert held.recv(1) == b""
        assert all(refused(port) for port, _ in pairs)
    finally:
        room.banger("rm", "served", check=True)


def ways_are_told(room: Home, web: int) -> None:
    """What `vm ports` says is what answers."""
    for _ in range(10):  # an emulated guest on a busy host may take longer than a port may
        (told,) = json.loads(room.banger("vm", "ports", "served", "--json", check=True).stdout)["machines"]
        (found,) = [each for each in told["ports"] if each["port"] == 8080]
        if found["link"]:
            break
    assert (found["endpoint"], found["forwards"]) == ("served.vm:8080", [f"127.0.0.1:{web}"])
    assert found["link"] == f"http://127.0.0.1:{web}/"
    assert fetch(web) == b"hello\n"
    (own,) = {each["address"] for each in told["forwards"] if each["address"] != "127.0.0.1"}
    assert ip_address(own).is_loopback
    assert fetch(8080, own) == b"hello\n", "what its name stands for"
    shown = room.banger("vm", "ports", "served", check=True).stdout
    assert f"served.vm:8080, 127.0.0.1:{web}" in shown and "(nothing listens)" in shown
    assert f"127.0.0.1:{web} -> 8080" in room.banger("vm", "show", "served", check=True).stdout


def the_worst(echo: int, first: int, deaf: int, nobody: int) -> None:
    with connect(nobody) as lost, pytest.raises(ConnectionResetError):
        lost.recv(1)
    with connect(first) as answered:  # the guest's side is gone when it has spoken
        assert answered.makefile("rb").read() == b"first\n"
    with connect(deaf) as unheard:
        unheard.settimeout(3)
        with pytest.raises(TimeoutError):
            unheard.sendall(b"x" * (256 << 20))
        with contextlib.ExitStack() as held, ThreadPoolExecutor(FEW) as threads:
            clients = list(threads.map(lambda number: greeted(echo), range(AT_ONCE)))
            for each in clients:
                held.enter_context(each)
                each.sendall(b"again\n")
            assert [each.makefile("rb").readline() for each in clients] == [b"again\n"] * AT_ONCE


def greeted(port: int) -> socket.socket:
    """A connection that has come through: the guest's server has a short queue."""
    client = connect(port)
    client.sendall(b"hello\n")
    assert client.recv(6) == b"hello\n"
    return client


def a_killed_daemon(room: Home, web: int, echo: int) -> None:
    """The next one listens before it answers."""
    pid = daemon_pid(room)
    with connect(echo) as held:
        held.sendall(b"here\n")
        assert held.recv(5) == b"here\n"
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            held.recv(1)
    while not refused(web):
        time.sleep(0.01)
    room.banger("ps", check=True)
    leaks.allow(daemon_pid(room))  # the room is the session's, and so is its daemon
    assert fetch(web) == b"hello\n"


def for_as_long_as_a_command_runs(room: Home, port: int) -> None:
    forwarding = OnTerminal(room, "forward", "served", f"{port}:8080")
    forwarding.expect(f"127.0.0.1:{port} -> served:8080")
    forwarding.expect("listening")
    assert fetch(port) == b"hello\n"
    os.kill(forwarding.pid, signal.SIGINT)
    assert forwarding.end() == 130
    deadline = time.monotonic() + 10
    while not refused(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert refused(port)
    kept = room.banger("forward", "served", f"{port}:8080", "--keep", check=True)
    assert kept.stdout == f"127.0.0.1:{port} -> served:8080\n"
    assert fetch(port) == b"hello\n"
    room.banger("vm", "set", "served", "--unpublish", str(port), check=True)
    assert refused(port)
    again = room.banger("forward", "served", "70000")
    assert (again.status, "1 to 65535" in again.stderr) == (2, True)
