"""The guests' network of a production host: names, who reaches whom, and the way out."""

from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import show

GATEWAY, OUTSIDE = "172.16.0.1", "198.51.100.2"


def reaches(host: Host, machine: str, address: str) -> bool:
    """Whether a guest gets an answer from an address."""
    return host.banger("exec", machine, "--", "ping", "-c", "2", "-W", "3", address, check=False).status == 0


def create(host: Host, name: str, *options: str) -> str:
    """Another machine; its address."""
    host.banger("run", "--detach", "--name", name, "--image", "busybox", "--memory", "128M", *options, timeout=180)
    return str(show(host, name)["address"])


def test_a_guest_reaches_its_gateway_and_no_service_there(serving: Host) -> None:
    serving.run(f"systemd-run --unit=listener --collect --quiet python3 -m http.server --bind {GATEWAY} 8000")
    serving.until(["curl", "-sf", f"http://{GATEWAY}:8000/"])
    assert reaches(serving, "one", GATEWAY)
    asked = ("exec", "one", "--", "wget", "-q", "-T", "5", "-O", "-", f"http://{GATEWAY}:8000/")
    assert serving.banger(*asked, check=False).status != 0
    serving.run("systemctl stop listener")


@pytest.fixture
def outside(serving: Host) -> Iterator[Host]:
    """A network behind the host, in a namespace of its own, that knows no way to the guests but the host's address."""
    serving.run("ip netns add outside && ip link add out type veth peer name in netns outside"
                " && ip addr add 198.51.100.1/24 dev out && ip link set out up"
                f" && ip -n outside addr add {OUTSIDE}/24 dev in && ip -n outside link set in up")  # fmt: skip
    yield serving
    serving.run("ip netns del outside; umount /run/netns; rmdir /run/netns")


def test_the_host_knows_a_machine_by_its_name(serving: Host) -> None:
    address = show(serving, "one")["address"]
    assert serving.until(f"getent ahostsv4 one.vm | grep '^{address} '", timeout=60)
    assert serving.run(["ping", "-c", "1", "-W", "5", "one.vm"], check=False).status == 0
    assert serving.run(["getent", "ahostsv4", "none.vm"], check=False).status == 2
    asked = ["dig", "+short", "-p", "42069", "@127.0.0.1"]
    assert serving.run([*asked, "-x", address]).stdout == "one.vm.\n"
    serving.banger("vm", "stop", "one", timeout=90)
    assert serving.run([*asked, "one.vm"]).stdout == ""


def test_guests_reach_each_other_only_where_both_ask_for_it(serving: Host) -> None:
    two, three = create(serving, "two", "--peers"), create(serving, "three", "--peers")
    assert reaches(serving, "two", three) and reaches(serving, "three", two)
    assert not reaches(serving, "one", two) and not reaches(serving, "two", show(serving, "one")["address"])
    serving.banger("rm", "two", "three", timeout=90)


def test_the_way_out_is_open_with_nat_alone(outside: Host) -> None:
    create(outside, "natted", "--nat")
    assert reaches(outside, "natted", OUTSIDE)
    assert not reaches(outside, "one", OUTSIDE)
    assert not reaches(outside, "natted", "169.254.169.254")
    outside.banger("rm", "natted", timeout=90)
    listed = outside.run(["nft", "list", "set", "inet", "banger", "nat"]).stdout
    assert "172.16.0." not in listed
