"""The guests' network of a production host: names, who reaches whom, and the way out."""

from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import show

RUN = ("run", "--rm", "--image", "busybox", "--memory", "128M", "--", "true")
EDITS = (
    "nft delete table inet banger",
    "nft insert rule bridge banger from_guest accept",
    "nft flush set bridge banger guests",
)
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
    serving.spend()
    serving.banger("vm", "stop", "one", timeout=90)
    assert serving.run([*asked, "one.vm"]).stdout == ""


def test_guests_reach_each_other_only_where_both_ask_for_it(serving: Host) -> None:
    two, three = create(serving, "two", "--peers"), create(serving, "three", "--peers")
    assert reaches(serving, "two", three) and reaches(serving, "three", two)
    assert not reaches(serving, "one", two) and not reaches(serving, "two", show(serving, "one")["address"])
    serving.banger("rm", "two", "three", timeout=90)


@pytest.fixture
def unresolved(stocked: Host) -> Iterator[Host]:
    """The box without systemd-resolved."""
    stocked.run("systemctl mask --runtime --now systemd-resolved")
    yield stocked
    stocked.run("systemctl unmask --runtime systemd-resolved; systemctl start systemd-resolved")


def test_without_a_resolver_machines_run_and_the_doctor_has_a_recipe(unresolved: Host) -> None:
    address = create(unresolved, "two")
    asked = ["dig", "+short", "-p", "42069", "@127.0.0.1", "two.vm"]
    assert unresolved.run(asked).stdout == f"{address}\n"
    told = unresolved.banger("doctor", check=False).stdout
    assert "WARN  names " in told and "docs/howto/resolve-names.md" in told, told
    unresolved.banger("rm", "two", timeout=90)


def test_a_bridge_of_somebody_elses_is_named_and_left_alone(stocked: Host) -> None:
    stocked.fresh()  # a scenario before this one has left a bridge of ours
    stocked.run("ip link add br-fc type bridge && ip addr add 192.0.2.1/24 dev br-fc")
    before, theirs = stocked.inventory(), stocked.run("ip -d addr show br-fc").stdout
    refused = stocked.banger(*RUN, timeout=180, check=False)
    assert refused.status == 125 and "br-fc is a bridge that banger did not make" in refused.stderr, refused.stderr
    assert stocked.banger("vm", "list", "--quiet").stdout == ""
    assert stocked.left_since(before) == []
    assert stocked.run("ip -d addr show br-fc").stdout == theirs
    stocked.run("ip link del br-fc")
    assert stocked.banger(*RUN, timeout=180).status == 0


def test_rules_that_were_edited_by_hand_are_put_right_and_told(serving: Host) -> None:
    listed = "nft -st list table bridge banger && nft -st list table inet banger && nft list set bridge banger guests"
    whole = serving.run(listed).stdout
    for edit in EDITS:
        serving.run(edit)
        serving.banger(*RUN, timeout=180)
        assert serving.run(listed).stdout == whole, edit
    told = serving.run("journalctl --unit=bangerd --output=cat | grep -c 'had been edited by hand'").stdout
    assert int(told) == len(EDITS)


def test_the_way_out_is_open_with_nat_alone(outside: Host) -> None:
    create(outside, "natted", "--nat")
    assert reaches(outside, "natted", OUTSIDE)
    assert not reaches(outside, "one", OUTSIDE)
    assert not reaches(outside, "natted", "169.254.169.254")
    outside.banger("rm", "natted", timeout=90)
    listed = outside.run(["nft", "list", "set", "inet", "banger", "nat"]).stdout
    assert "172.16.0." not in listed
