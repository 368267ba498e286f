"""The verbs that change machines, through a life of two of them."""
# ruff: noqa: S104 - what is bound so in a guest

import contextlib
import json
import os
import signal

import pytest

from banger import Client
from tests.home import Home
from tests.integration.cli.terminal import OnTerminal

pytestmark = pytest.mark.qemu
SMALL = ("--image", "busybox", "--memory", "256M")
BOTH_DISKS = (10 + 8) << 30


def machine(room: Home, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(room.banger("vm", "show", name, "--json", check=True).stdout)
    return found


def look(room: Home) -> None:
    """At two machines that run."""
    (taken,) = json.loads(room.banger("vm", "stats", "--json", "web", check=True).stdout)["stats"]
    assert taken["cpu_share"] > 0 and 64 << 20 < taken["memory_resident"] < 2 << 30
    assert 0 < taken["disk_used"] < taken["disk_size"] == BOTH_DISKS
    space = json.loads(room.banger("df", "--json", check=True).stdout)
    items = {(each["kind"], each["name"]): each for each in space["items"]}
    assert 0 < items["machine", "web"]["real"] < items["machine", "web"]["virtual"] == BOTH_DISKS
    assert items["image", "busybox"]["real"] > 0 and items["kernel", "debian-cloud"]["real"] > 0
    assert [each for each in items if each[0] == "unknown"] == []
    assert "machines may still write" in room.banger("system", "df", check=True).stderr
    listening = OnTerminal(room, "events")
    listening.expect("listening")
    room.banger("vm", "set", "web", "--vcpu", "2", check=True)
    listening.expect("vm.set  web  done")
    os.kill(listening.pid, signal.SIGINT)
    assert listening.end() == 130
    watched = OnTerminal(room, "vm", "stats", "--watch", "--interval", "0.2")
    watched.expect("CPU TIME")
    watched.expect("db")
    watched.expect("\x1b[3F\x1b[J")  # two machines and the heading are taken back
    os.kill(watched.pid, signal.SIGINT)
    assert watched.end() == 130


SERVERS = """
mkdir -p /www && echo hello >/www/index.html
httpd -p 0.0.0.0:8080 -h /www && httpd -p 127.0.0.1:8081 -h /www && httpd -p 8082 -h /www
nc -ll -p 8083 -e cat </dev/null >/dev/null 2>&1 &
printf 'interface eth0\\nstart 10.0.2.100\\nend 10.0.2.110\\nlease_file /leases\\n' >/dhcp
touch /leases && udhcpd /dhcp
"""


def listeners(room: Home) -> None:
    """What listens in two machines: servers of every kind in one of them, nothing in the other."""
    room.banger("exec", "web", "--", "sh", "-c", SERVERS, check=True)
    expected = {
        ("tcp", "0.0.0.0", 8080): ("httpd", "network", "http"),
        ("tcp", "127.0.0.1", 8081): ("httpd", "loopback", None),
        ("tcp6", "::", 8082): ("httpd", "network", "http"),
        ("tcp6", "::", 8083): ("nc", "network", None),
        ("udp", "0.0.0.0", 67): ("udhcpd", "network", None),
    }
    for _ in range(10):  # an emulated guest on a busy host may take longer than a port may
        told = json.loads(room.banger("vm", "ports", "--json", check=True).stdout)["machines"]
        machines = {each["name"]: each for each in told}
        found = {(each["protocol"], each["address"], each["port"]): each for each in machines["web"]["ports"]}
        if {at: (each["process"], each["unreachable"], each["scheme"]) for at, each in found.items()} == expected:
            break
    assert {at: (each["process"], each["unreachable"], each["scheme"]) for at, each in found.items()} == expected
    assert all(each["pid"] > 1 and each["endpoint"] is None and each["link"] is None for each in found.values())
    assert (machines["db"]["ports"], machines["db"]["complete"], machines["db"]["address"]) == ([], True, None)
    some = room.banger("vm", "ports", "absent", "web", "db", "web")
    assert (some.status, "no machine named 'absent'" in some.stderr) == (3, True)
    lines = [line.split() for line in some.stdout.splitlines()]
    assert [line[:4] for line in lines[1:]] == [
        ["web", at[0], at[1], str(at[2])] for at in sorted(found, key=lambda at: at[2])
    ]
    assert "(loopback only)" in some.stdout and "(not forwarded)" in some.stdout
    room.banger("exec", "web", "--", "killall", "httpd", "nc", "udhcpd", check=True)


def prune(room: Home) -> None:
    """Of two machines at rest, with a third party in the middle."""
    refused = room.banger("vm", "prune")
    assert (refused.status, "--force" in refused.stderr) == (2, True)
    asked = OnTerminal(room, "vm", "prune")
    asked.expect("Delete these 2 machines and their disks? [y/N] ")
    room.banger("vm", "start", "db", check=True)
    asked.type("y\r")
    assert asked.end() == 4, "one of them was started meanwhile"
    assert room.banger("ps", "-q").stdout == "db\n"
    room.banger("vm", "kill", "db", check=True)
    at_rest = room.banger("vm", "ports", "db", "--json")
    assert (at_rest.status, json.loads(at_rest.stdout)["machines"][0]["error"]["code"]) == (4, "wrong_state")
    assert json.loads(room.banger("vm", "ports", "--json", check=True).stdout) == {"machines": []}
    declined = OnTerminal(room, "vm", "prune")
    declined.expect("Delete this machine and its disk? [y/N] ")
    declined.type("\r")
    assert declined.end() == 1
    pruned = room.banger("vm", "prune", "--force", "--label", "run=7", "--json", check=True)
    assert [each["name"] for each in json.loads(pruned.stdout)["results"]] == ["db"]
    assert json.loads(room.banger("vm", "prune", "-f", "--json", check=True).stdout) == {"results": []}


def test_a_life_of_changes(room: Home) -> None:
    with Client(socket=room.paths.socket) as client, contextlib.closing(client.events()) as events:  # type: ignore[type-var]
        life(room)
        told = []
        for event in events:
            told.append(f"{event.name} {event.change} {event.state} {event.reason}".strip())
            if told[-1] == "db vm.delete done":
                break
    for expected in ("web  running", "web vm.set done", "web  stopped powered off", "web  deleted"):
        assert expected in told


def life(room: Home) -> None:
    assert room.banger("vm", "create", "--name", "web", "--vcpu", "1", *SMALL).status == 0
    room.banger("vm", "create", "--name", "db", "--no-start", "--label", "run=7", *SMALL, check=True)
    assert room.banger("ps", "-q", "--label", "run=7", "--label", "run").stdout == "db\n"
    assert "labels  " in room.banger("vm", "show", "db").stdout
    assert room.banger("ps", "--label", "a b").status == 2
    room.banger("exec", "web", "--", "sh", "-c", "echo kept >/kept", check=True)

    told = room.banger("vm", "set", "web", "--vcpu", "2", "--disk", "10G", check=True)
    assert (told.stdout, "next start" in told.stderr) == ("web\n", True)
    assert "vcpu 2, disk 10 GiB" in room.banger("vm", "show", "web").stdout
    assert room.banger("exec", "web", "nproc").stdout == "1\n"
    shrunk = room.banger("vm", "set", "web", "--disk", "64M")
    assert (shrunk.status, "never shrink" in shrunk.stderr) == (2, True)
    assert room.banger("vm", "set", "web").status == 2
    assert room.banger("vm", "set", "web", "--nat", "--no-nat").status == 2
    assert room.banger("vm", "set", "web", "--no-nat").status == 2

    kept = room.banger("vm", "keep", "web", "2h", check=True)
    assert (kept.stdout, "2 h" in kept.stderr) == ("web\n", True)
    assert room.banger("vm", "keep", "web", "for a while").status == 2
    assert room.banger("vm", "keep", "db").status == 2, "it has no time limit"

    again = room.banger("vm", "start", "web", check=True)
    assert (again.stdout, again.stderr) == ("web\n", "web runs already\n")
    both = room.banger("vm", "restart", "web", "absent", "db", "web")
    assert (both.status, both.stdout) == (3, "web\ndb\n"), both.stderr
    assert "no machine named 'absent'" in both.stderr

    assert room.banger("exec", "web", "--", "sh", "-c", "nproc; cat /kept").stdout == "2\nkept\n"
    size = int(room.banger("exec", "web", "--", "sh", "-c", "df -k / | tail -1").stdout.split()[1])
    assert 9_500_000 < size < 10 << 20, "the file system has grown with its disk"

    look(room)
    listeners(room)
    room.banger("vm", "keep", "web", "forever", check=True)
    assert "time limit" not in room.banger("vm", "show", "web").stdout
    stopped = room.banger("vm", "stop", "--timeout", "60", "web", "db", "--json", check=True)
    assert [each["done"] for each in json.loads(stopped.stdout)["results"]] == [True, True]
    quiet = room.banger("vm", "stop", "web", "db", check=True)
    assert quiet.stderr == "web is stopped already\ndb is stopped already\n"
    assert machine(room, "web")["stop_reason"] == "powered off"
    prune(room)
