"""A guest must not reach what listens on the host's loopback or on link-local addresses (cloud metadata).

The guest is real and so are the listeners. They live in a network namespace of the test's own, where 169.254.169.254
can be had without root, as can 192.0.2.1, an address that stands for the outside.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import tiny_guest

HERE = Path(__file__).parent
REACHABLE = "192.0.2.1"
FORBIDDEN = ("10.0.2.2", "127.0.0.1", "127.9.9.9", "169.254.169.254")


def in_namespace(*argv: str, timeout: float = 150) -> "subprocess.CompletedProcess[str]":
    """Run Python in a user and network namespace of its own."""
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--", sys.executable, *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def from_guest(tmp_path: Path, host_loopback: bool) -> dict[str, str]:
    """What the guest got from each address: the listener's word, or ``nothing``."""
    guest = tiny_guest.guest()
    settings = {
        "directory": str(tmp_path),
        "kernel": guest.kernel,
        "initrd": guest.initrd,
        "host_loopback": host_loopback,
        "addresses": [REACHABLE, *FORBIDDEN],
    }
    ended = in_namespace(str(HERE / "netguard_scene.py"), json.dumps(settings))
    assert ended.returncode == 0, ended.stderr
    found: dict[str, str] = json.loads(ended.stdout)
    return found


@pytest.mark.qemu
def test_a_guest_reaches_the_outside_but_not_the_hosts_own_services(tmp_path: Path) -> None:
    found = from_guest(tmp_path, host_loopback=False)
    assert found[f"tcp {REACHABLE}"] == "reached"
    assert found[f"udp {REACHABLE}"] == "reached"
    for address in FORBIDDEN:
        assert found[f"tcp {address}"] == "nothing"
        assert found[f"udp {address}"] == "nothing"


@pytest.mark.qemu
def test_a_guest_reaches_them_when_that_is_allowed(tmp_path: Path) -> None:
    found = from_guest(tmp_path, host_loopback=True)
    assert found[f"tcp {REACHABLE}"] == "reached"
    for address in FORBIDDEN:  # so that each of these ways is one
        assert found[f"tcp {address}"] == "reached"
        assert found[f"udp {address}"] == "reached"


CALLS = """
import json, socket, sys
results = {}
for kind, address, port in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        try:
            if kind == "tcp":
                s.connect((address, port))
            elif kind == "udp":
                s.sendto(b"x", (address, port))
            else:
                s.sendmsg([b"x"], [], 0, (address, port))
            results[f"{kind} {address} {port}"] = "passed"
        except ConnectionRefusedError:
            results[f"{kind} {address} {port}"] = "refused"
        except OSError:  # no route and the like: the kernel's word, so the call got through to it
            results[f"{kind} {address} {port}"] = "passed"
print(json.dumps(results))
"""


def preloaded(calls: list[tuple[str, str, int]], resolver: str = "") -> dict[str, str]:
    from banger.vmm.qemu import guard

    ended = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps(calls)],
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, "LD_PRELOAD": guard.path("test"), "BANGER_NETGUARD_RESOLVER": resolver},
    )
    found: dict[str, str] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("kind", ["udp", "message"])
@pytest.mark.parametrize(
    "address",
    ["0.0.0.1", "0.1.2.3", "127.0.0.1", "127.255.255.255", "169.254.0.1", "169.254.169.254", "::1", "fe80::1"],
)
def test_a_forbidden_destination_is_refused(kind: str, address: str) -> None:
    assert preloaded([(kind, address, 9)]) == {f"{kind} {address} 9": "refused"}


@pytest.mark.parametrize("address", ["126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.1", "1.0.0.1"])
def test_its_neighbours_are_not(address: str) -> None:
    assert preloaded([("udp", address, 9)]) == {f"udp {address} 9": "passed"}


def test_the_hosts_resolver_is_reached_at_its_own_port_only() -> None:
    found = preloaded([("udp", "127.0.0.53", 53), ("udp", "127.0.0.53", 22), ("udp", "127.0.0.1", 53)], "127.0.0.53")
    assert found == {"udp 127.0.0.53 53": "passed", "udp 127.0.0.53 22": "refused", "udp 127.0.0.1 53": "refused"}
