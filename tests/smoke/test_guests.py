"""Machines on a production host, from run to delete."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.machines import boot_id, show


def test_a_command_in_a_machine_of_its_own(stocked: Host) -> None:
    done = stocked.banger(
        "run", "--rm", "--image", "busybox", "--", "sh", "-c", "uname -s; cat /proc/1/comm; exit 7",
        timeout=180, check=False,
    )  # fmt: skip
    assert done.status == 7, done.stderr
    assert done.stdout.splitlines()[0] == "Linux"
    assert stocked.banger("vm", "list", "--quiet").stdout == ""


def test_three_at_once_each_have_their_own_status(stocked: Host) -> None:
    one = "banger run --rm --image busybox --memory 128M -- sh -c 'exit {0}'; echo {0} $?"
    lines = "".join(f"({one.format(status)}) & " for status in (3, 4, 5))
    done = stocked.run(f"{lines} wait", user="owner", timeout=400)
    assert sorted(done.stdout.splitlines()) == ["3 3", "4 4", "5 5"], done.stderr
    assert stocked.banger("vm", "list", "--quiet").stdout == ""


def test_loop_devices_that_others_have_are_no_hindrance(stocked: Host) -> None:
    stocked.run("mkdir /var/tmp/taken; for i in $(seq 20); do"
                " truncate -s 1M /var/tmp/taken/$i && losetup -f /var/tmp/taken/$i || exit; done")  # fmt: skip
    taken = stocked.run("losetup -ln -O NAME,BACK-FILE").stdout
    assert stocked.banger("run", "--rm", "--image", "busybox", "--", "true", timeout=180).status == 0
    assert stocked.run("losetup -ln -O NAME,BACK-FILE").stdout == taken
    stocked.run("losetup -D; rm -r /var/tmp/taken")


HOLDER = """
import os, time
held = [os.open(f"/dev/{each}", os.O_RDWR | os.O_EXCL) for each in os.listdir("/sys/block") if each.startswith("loop")
        and not os.path.exists(f"/sys/block/{each}/loop")]
os.mkdir("/run/holder")
time.sleep(600)
"""


@pytest.fixture
def without_loops(stocked: Host) -> Iterator[Host]:
    """The box, in which somebody else has every free loop device open for himself.

    The kernel sets no bound that could be reached: it makes another device whenever none is free, up to a million of
    them, and ``max_loop`` is only how many there are at first. But the one that it names as free is the first that is
    not attached, and while somebody has that one for himself, nobody gets any.
    """
    stocked.banger("run", "--rm", "--image", "busybox", "--", "true", timeout=180)
    stocked.until('test -z "$(losetup --list --noheadings)"')
    stocked.run(["systemd-run", "--quiet", "--collect", "--unit=holder", "python3", "-c", HOLDER])
    stocked.until("test -d /run/holder")
    yield stocked
    stocked.run("systemctl stop holder; rmdir /run/holder", check=False)


def test_without_a_loop_device_it_is_said_and_nothing_is_left(without_loops: Host) -> None:
    before = without_loops.inventory()
    refused = without_loops.banger("run", "--image", "busybox", "--", "true", timeout=180, check=False)
    assert refused.status == 125 and "others take every free loop device first" in refused.stderr, refused.stderr
    assert without_loops.banger("vm", "list", "--quiet").stdout == ""
    assert without_loops.left_since(before) == []
    without_loops.run("systemctl stop holder")
    assert without_loops.banger("run", "--rm", "--image", "busybox", "--", "true", timeout=180).status == 0


def test_a_machine_stops_starts_and_restarts_with_its_disk(serving: Host) -> None:
    first = boot_id(serving, "one")
    serving.banger("exec", "one", "--", "sh", "-c", "echo kept > /root/kept")
    assert " /root ext4 rw" in serving.banger("exec", "one", "--", "cat", "/proc/mounts").stdout
    serving.banger("vm", "stop", "one", timeout=90)
    assert show(serving, "one")["state"] == "stopped"
    serving.banger("vm", "start", "one", timeout=150)
    second = boot_id(serving, "one")
    serving.banger("vm", "restart", "one", timeout=200)
    third = boot_id(serving, "one")
    assert len({first, second, third}) == 3
    assert serving.banger("exec", "one", "--", "cat", "/root/kept").stdout == "kept\n"
    assert 0 in calls(serving, show(serving, "one")["id"]), "the guest tells when it serves; one that is slow is called"


def calls(host: Host, vm_id: str) -> list[int]:
    """How often the daemon had itself connected to the machine's guest after each of its starts."""
    found: list[int] = []
    for line in host.run("journalctl --unit=bangerd-root --output=cat | grep '^{'").stdout.splitlines():
        what = json.loads(line).get("what", "")
        if what.startswith(f"launch machine {vm_id} "):
            found.append(0)
        elif what == f"connect to the vsock socket of machine {vm_id}":
            found[-1] += 1
    return found


def test_a_machine_is_killed_and_deleted(serving: Host) -> None:
    serving.spend()
    pid = show(serving, "one")["pid"]
    serving.banger("vm", "kill", "one", timeout=60)
    assert show(serving, "one")["state"] == "stopped"
    assert serving.run(["dmsetup", "ls"]).stdout == "No devices found\n"
    assert serving.run(["test", "-e", f"/proc/{pid}"], check=False).status != 0
    serving.banger("vm", "delete", "one", timeout=60)
    assert serving.run("ls -A /var/lib/banger-root/jails/firecracker/ /var/lib/banger/vms/ | grep -v :$").stdout == "\n"
    assert serving.run(["dmsetup", "ls"]).stdout == "No devices found\n"


def test_processors_ports_and_what_is_pruned(serving: Host) -> None:
    for wrong, reason in {("--vcpu", "0"): "vcpu", ("--detach", "--rm"): "use one of them"}.items():
        refused = serving.banger("run", *wrong, "--name", "wrong", "--image", "busybox", check=False)
        assert refused.status == 125 and reason in refused.stderr, refused.stderr
    serving.banger("vm", "create", "--no-start", "--name", "two", "--image", "busybox", timeout=90)
    assert processors(serving) == "1\n"
    serving.banger("vm", "set", "one", "--vcpu", "2")
    assert processors(serving) == "1\n"
    serving.spend()  # what follows has another machine than the stage: of two processors
    serving.banger("vm", "restart", "one", timeout=100)
    assert processors(serving) == "2\n"
    serving.banger("exec", "one", "--", "httpd", "-p", "22")
    listening = serving.banger("vm", "ports", "one").stdout
    assert re.search(r"\btcp6?\s.*\bone\.vm:22\b", listening), listening
    serving.banger("vm", "prune", "--force", timeout=90)
    assert serving.banger("vm", "list", "--quiet").stdout == "one\n"


def processors(host: Host) -> str:
    """How many the machine has."""
    return host.banger("exec", "one", "--", "nproc").stdout
