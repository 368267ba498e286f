"""Ways into a jailed machine that need nothing of its network: published ports, forwards, ssh and scp by its name."""

from collections.abc import Iterator

import pytest

from tests.smoke.host.box import Host
from tests.smoke.host.image import OTHER, OWNER
from tests.smoke.machines import PAGE, fetched

GATEWAY = "198.51.100.1"


@pytest.fixture
def web(serving: Host) -> Host:
    """The box, in whose machine a server listens where the machine alone reaches it."""
    serving.spend()  # the server
    serving.banger("exec", "one", "--", "sh", "-c", PAGE)
    return serving


@pytest.fixture
def outside(web: Host) -> Iterator[Host]:
    """Another host, behind this one."""
    web.run("ip netns add outside && ip link add out type veth peer name in netns outside"
            f" && ip addr add {GATEWAY}/24 dev out && ip link set out up"
            " && ip -n outside addr add 198.51.100.2/24 dev in && ip -n outside link set in up")  # fmt: skip
    yield web
    web.run("ip netns del outside; umount /run/netns; rmdir /run/netns")


def test_a_published_port_outlives_the_services(outside: Host) -> None:
    outside.banger("vm", "set", "one", "--publish", "8080:80", "--publish", "0.0.0.0:8081:80")
    there = "ip netns exec outside"
    assert fetched(outside, "127.0.0.1:8080") == "from-one\n"
    assert fetched(outside, f"{GATEWAY}:8081", there) == "from-one\n"
    assert fetched(outside, f"{GATEWAY}:8080", there) == "", "that one is for this host alone"
    assert "127.0.0.1:8080 -> 80" in outside.banger("vm", "show", "one").stdout
    for disturbance in ("systemctl restart bangerd", "systemctl kill --signal=KILL bangerd bangerd-root"):
        outside.run(disturbance)
        outside.until("banger system status", timeout=90)
        assert fetched(outside, "127.0.0.1:8080") == "from-one\n", disturbance
        assert fetched(outside, f"{GATEWAY}:8081", there) == "from-one\n", disturbance
    outside.banger("vm", "set", "one", "--unpublish", "8080", "--unpublish", "8081")
    assert fetched(outside, "127.0.0.1:8080") == ""


def test_a_port_goes_with_its_machine_and_a_taken_one_costs_no_boot(stocked: Host) -> None:
    run = ("run", "--detach", "--name", "two", "--image", "busybox", "--publish", "8080:80")
    stocked.run("systemd-run --unit=listener --collect --quiet python3 -m http.server --bind 127.0.0.1 8080")
    stocked.until(["curl", "-sf", "http://127.0.0.1:8080/"])
    refused = stocked.banger(*run, timeout=180, check=False)
    assert refused.status == 125 and "something else listens there" in refused.stderr, refused.stderr
    assert stocked.banger("vm", "list", "--quiet").stdout == ""
    stocked.run("systemctl stop listener")
    stocked.banger(*run, timeout=180)
    stocked.banger("exec", "two", "--", "sh", "-c", PAGE)
    assert fetched(stocked, "127.0.0.1:8080") == "from-one\n"
    stocked.banger("vm", "restart", "two", timeout=200)
    stocked.banger("exec", "two", "--", "sh", "-c", PAGE)
    assert fetched(stocked, "127.0.0.1:8080") == "from-one\n"
    stocked.banger("rm", "two", timeout=90)
    assert stocked.run("ss -Htln sport = :8080").stdout == ""


def test_a_forward_ends_with_who_holds_it(web: Host) -> None:
    hold = f"systemd-run --unit=holder --collect --quiet --uid={OWNER} --property=Environment=PATH=$PATH"
    web.run(f"{hold} $(command -v banger) forward one 9090:80")
    web.until(["curl", "-sf", "http://127.0.0.1:9090/"])
    assert fetched(web, "127.0.0.1:9090") == "from-one\n"
    web.run("systemctl stop holder")
    web.until('test -z "$(ss -Htln sport = :9090)"')


# -- ssh --------------------------------------------------------------------------------------------------------------

SSHD = "f=/usr/sbin/sshd; tar chf - $f $(ldd $f | grep -o '/[^ )]*') 2>/dev/null | banger exec -i one -- tar xf - -C /"
"""The box's own sshd with its libraries into the machine, whose image has neither."""

ACCOUNT = "echo sshd:x:100:65534::/run/sshd:/bin/false >>/etc/passwd"
CONFIGURATION = "printf 'Include /etc/ssh/sshd_config.d/*.conf\\nSubsystem sftp internal-sftp\\n' >/etc/ssh/sshd_config"
THEIRS = "# mine\nHost other\n    Port 2222\n"


@pytest.fixture
def known(serving: Host) -> Iterator[Host]:
    """The box with an sshd in its machine, and an owner whose ssh knows machines by their names."""
    serving.spend()
    serving.run(SSHD, user=OWNER, timeout=240)
    serving.banger("exec", "one", "--", "sh", "-c", f"{ACCOUNT}; {CONFIGURATION}")
    serving.run(f"mkdir -m 700 ~/.ssh; printf '{THEIRS}' >~/.ssh/config", user=OWNER)
    serving.banger("ssh-config", "--install")
    yield serving
    serving.run("rm -rf ~/.ssh", user=OWNER)


def ssh(host: Host, *words: str, user: str = OWNER, check: bool = True) -> tuple[int, str]:
    """OpenSSH as a user has it, with nobody there to be asked."""
    done = host.run(["ssh", "-o", "BatchMode=yes", "one.vm", *words], user=user, timeout=120, check=check)
    return done.status, done.stdout


def test_ssh_and_scp_know_a_machine_by_its_name(known: Host) -> None:
    assert ssh(known, "id -un; exit 42", check=False) == (42, "root\n")
    known.run("head -c 3000000 /dev/urandom >~/sent && scp -q ~/sent one.vm:/srv/ && scp -q one.vm:/srv/sent ~/back"
              " && cmp ~/sent ~/back && rm ~/sent ~/back", user=OWNER, timeout=240)  # fmt: skip
    told = known.banger("ssh", "one", "--", "sh", "-c", 'echo "$0"', "a  b")
    assert told.stdout == "a  b\n"
    # neither a resolver is needed for this, nor a daemon that has seen the machine start
    known.run("systemctl restart bangerd")
    assert ssh(known, "cat /proc/sys/kernel/hostname") == (0, "one\n")
    known.run("systemctl stop systemd-resolved")
    assert ssh(known, "echo yes") == (0, "yes\n")
    known.run("systemctl start systemd-resolved")
    assert known.run("test -e ~/.ssh/known_hosts", user=OWNER, check=False).status == 1, "theirs is not touched"
    assert ssh(known, "true", user=OTHER, check=False)[0] == 255
    known.banger("ssh-config", "--uninstall")
    assert known.run("cat ~/.ssh/config", user=OWNER).stdout == THEIRS
