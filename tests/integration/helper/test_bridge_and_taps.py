"""Bridge and taps as operations, in a network of their own."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest

from banger.helper.bridge import Bridge
from banger.helper.host import Host
from banger.helper.operation import Failed, Refused
from banger.helper.tap import IFF_VNET_HDR, Tap
from tests.integration.helper.rig import Namespace, ip, open_tap, perform

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("inside")]

TAP = Tap(slot=0)


def links() -> dict[str, dict[str, object]]:
    return {each["ifname"]: each for each in json.loads(ip("-json -details link show")) if each}


def test_bridge_is_made_once_and_undone(host: Host) -> None:
    assert perform(Bridge(), host).values == {"made": True}
    assert perform(Bridge(), host).values == {"made": False}
    made = links()["br-fc"]
    assert made["ifalias"] == "banger"
    assert made["address"] == "02:fc:ac:10:00:01"
    assert made["inet6_addr_gen_mode"] == "none"
    assert "172.16.0.1/24 brd 172.16.0.255" in ip("-4 address show dev br-fc")
    assert "inet6" not in ip("address show dev br-fc")
    Bridge().undo(host)
    Bridge().undo(host)
    assert set(links()) == {"lo"}


def test_bridge_takes_what_a_killed_maker_left(host: Host) -> None:
    ip("link add name br-fc address 02:fc:ac:10:00:01 type bridge")
    assert perform(Bridge(), host).values == {"made": False}
    assert links()["br-fc"]["ifalias"] == "banger"
    ip("address delete 172.16.0.1/24 dev br-fc", "address add 192.0.2.1/24 dev br-fc", "link set dev br-fc down")
    perform(Bridge(), host)
    assert "192.0.2.1" not in ip("address show dev br-fc")
    assert "172.16.0.1/24" in ip("address show dev br-fc up")


@pytest.mark.parametrize("theirs", ["link add name br-fc type bridge", "link add name br-fc type veth peer name other"])
def test_bridge_of_somebody_else_is_refused_and_named(theirs: str, host: Host) -> None:
    ip(theirs)
    before = ip("link show")
    with pytest.raises(Refused, match=r"br-fc is a \w+ that banger did not make"):
        Bridge().validate(host)
    for act in (Bridge().execute, Bridge().undo):
        with pytest.raises(Refused):
            act(host)
    assert ip("link show") == before


def test_network_of_somebody_else_is_named(host: Host) -> None:
    ip("link add name lan type veth peer name other", "address add 172.16.0.77/16 dev lan")
    with pytest.raises(Failed, match=r"172\.16\.0\.0/24 overlaps lan, which has 172\.16\.0\.77/16"):
        perform(Bridge(), host)
    assert "br-fc" not in links()


def test_tap_belongs_to_its_slot_alone(host: Host) -> None:
    perform(Bridge(), host)
    assert perform(TAP, host).values == {"made": True}
    assert perform(TAP, host).values == {"made": False}
    attach = (
        "import sys, os; sys.path.insert(0, os.environ['TREE']);"
        "import fcntl, struct; fcntl.ioctl(int(sys.argv[1]), 0x400454ca, struct.pack('16sH22x', b'tap-fc-0', 0x5002))"
    )
    for uid, expected in ((host.uid(0), ""), (host.uid(1), os.strerror(errno.EPERM))):
        node = os.open("/dev/net/tun", os.O_RDWR)
        done = subprocess.run(
            [os.path.realpath("/usr/bin/python3"), "-c", attach, str(node)],
            env={"TREE": "/"}, pass_fds=[node], user=uid, group=uid, extra_groups=[],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        os.close(node)
        assert (done.returncode == 0) == (not expected), done.stderr
        assert expected in done.stderr


def test_tap_is_closed_to_others_and_to_what_is_flooded(host: Host) -> None:
    perform(Bridge(), host)
    perform(TAP, host)
    made = links()["tap-fc-0"]
    assert made["master"] == "br-fc"
    assert made["ifalias"] == "banger"
    info = made["linkinfo"]
    assert isinstance(info, dict)
    port = info["info_slave_data"]
    assert port["isolated"]
    assert not port["learning"] and not port["flood"] and not port["mcast_flood"]
    with pytest.raises(Failed, match="still has ports: tap-fc-0") as caught:
        Bridge().undo(host)
    assert caught.value.busy
    TAP.undo(host)
    TAP.undo(host)
    Bridge().undo(host)
    assert set(links()) == {"lo"}


def test_tap_changes_hands_only_while_it_is_idle(host: Host) -> None:
    """As when an installation gives its slots other users than the one before it."""
    later = dataclasses.replace(host, first_uid=host.first_uid + 3)
    perform(Bridge(), host)
    perform(TAP, host)
    monitor = open_tap("tap-fc-0", IFF_VNET_HDR)
    try:
        perform(TAP, host)
        ip("link set dev tap-fc-0 down")
        perform(TAP, host)
        with pytest.raises(Failed, match="a monitor has it open") as caught:
            perform(TAP, later)
        assert caught.value.busy
    finally:
        os.close(monitor)
    perform(TAP, later)
    assert "user 900003" in ip("-details -Numeric link show dev tap-fc-0")


def test_tap_that_is_no_tap_of_ours_is_refused(host: Host) -> None:
    perform(Bridge(), host)
    ip("tuntap add dev tap-fc-0 mode tap", "link add name tap-fc-1 type bridge", "link set dev tap-fc-1 alias banger")
    before = ip("link show")
    for slot in (0, 1):
        operation, name = Tap(slot=slot), f"tap-fc-{slot}"
        for act in (operation.validate, operation.execute, operation.undo):
            with pytest.raises(Refused, match=f"{name} is an interface that banger did not make"):
                act(host)
    assert ip("link show") == before


def test_tap_whose_maker_is_killed_is_gone(host: Host, inside: Namespace) -> None:
    """Nothing lasts before everything is set: the maker dies at each ioctl and each ip in turn."""
    perform(Bridge(), host)
    scene = (
        "import os, sys\n"
        "from banger.helper import tap, links\n"
        "from banger.helper.host import Host\n"
        "batch = links.batch\n"
        "def die(*lines):\n"
        "    batch(*lines)\n"
        "    os.kill(os.getpid(), 9)\n"
        "links.batch = die\n"
        "tap.Tap(slot=0).execute(Host(owner_uid=1, owner_gid=1))\n"
    )
    done = subprocess.run([sys.executable, "-c", scene], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    assert set(links()) == {"lo", "br-fc"}
    perform(TAP, host)
