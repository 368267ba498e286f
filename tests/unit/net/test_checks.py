"""What the doctor says of the network."""

from ipaddress import IPv4Address, IPv4Network

from banger.net import checks
from banger.net.plan import HostNetwork

SERVER = IPv4Address("127.0.0.1")
GUESTS = IPv4Network("172.16.0.0/24")


def test_names() -> None:
    assert checks.names("", [SERVER], True) == ("pass", "NAME.vm is answered at 127.0.0.1", "")
    status, detail, mend = checks.names("resolved does not run", [SERVER], False)
    assert status == "warn"
    assert detail.startswith("names are not routed: resolved does not run;")
    assert "banger exec" in detail and "banger ssh" in detail
    assert mend.startswith("docs/howto/resolve-names.md") and "ssh-config --install" in mend
    status, detail, _ = checks.names("port 42069: in use", [], False)
    assert (status, detail) == ("warn", "names are not answered: port 42069: in use")


def test_addresses() -> None:
    ours = HostNetwork("br-fc", GUESTS)
    assert checks.addresses(GUESTS, [ours], "br-fc") == ("pass", "172.16.0.0/24", "")
    found = checks.addresses(GUESTS, [ours, HostNetwork("tun0", IPv4Network("172.16.0.0/12"))], "br-fc")
    assert found[0] == "warn"
    assert "172.16.0.0/12 (tun0)" in found[1]
    assert "10.0.0.0/24" in found[2]


def test_rules() -> None:
    sound: dict[str, object] = {"edited": [], "current": True, "missing": []}
    assert checks.rules(None)[0] == checks.rules(sound)[0] == "pass"
    for changed, said in (
        ({"edited": ["inet"]}, "the table inet banger is gone or was edited"),
        ({"edited": ["elements"]}, "elements of our sets were edited"),
        ({"current": False}, "not those of the machines that run"),
        ({"missing": ["tap-fc-3"]}, "tap-fc-3 is not on the bridge"),
    ):
        status, detail, mend = checks.rules({**sound, **changed})
        assert (status, said in detail) == ("warn", True), detail
        assert mend.startswith("sudo banger system restart")
