"""The guests' network of an installed host: made by the helper in its sandbox, names routed by systemd-resolved."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.smoke.host.box import Host
from tests.smoke.host.image import OWNER

PYTHON = "/usr/local/lib/banger/venv/bin/python"
SCRIPT, SAID = "/srv/network_owner.py", f"/home/{OWNER}/network.json"
MONITOR = """
import fcntl, struct, time
tap = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap-fc-0", 0x5002))
time.sleep(1000)
"""
"""Opens a tap as a monitor does, for the bridge to have a carrier: resolved asks no server of a link without."""


@pytest.fixture
def connected(host: Host) -> Iterator[Host]:
    """An installation whose owner has connected two guests."""
    host.run(["/opt/banger/bin/banger", "system", "install", "--owner", OWNER], timeout=300)
    try:
        host.put(Path(__file__).with_name("network_owner.py"), SCRIPT)
        host.run(f"chmod 644 {SCRIPT}; systemd-run --uid={OWNER} --unit=owner-network --collect --quiet"
                 f" --property=StandardOutput=file:{SAID} {PYTHON} -P {SCRIPT}")  # fmt: skip
        host.until(f"grep -q connected {SAID} || ! systemctl is-active -q owner-network", timeout=120)
        yield host
    finally:
        host.run("systemctl stop owner-network monitor", check=False)
        host.run(["banger", "system", "uninstall", "--purge"], timeout=120)
        host.run(f"rm -f {SCRIPT} {SAID}")


def said(host: Host, event: str) -> dict[str, object]:
    """The last time that the owner's script said so."""
    lines = [json.loads(line) for line in host.read(SAID).splitlines()]
    found = [line for line in lines if line["event"] == event]
    assert found, host.run("journalctl -u owner-network --no-pager", check=False).stdout
    last: dict[str, object] = found[-1]
    return last


@pytest.mark.timeout(900, func_only=True)
def test_names_and_rules_of_an_installed_host(connected: Host) -> None:
    host = connected
    made = said(host, "connected")
    assert made["problem"] == ""
    assert made["idle"] == [2, 3]
    host.run(["systemd-run", "--unit=monitor", "--collect", "--quiet", "python3", "-c", MONITOR])

    for name, address in (("web", "172.16.0.2"), ("db", "172.16.0.3")):
        host.until(f"getent ahostsv4 {name}.vm | grep -q '^{address} '", timeout=60)
    assert host.run("getent ahostsv4 none.vm", check=False).status == 2
    link = host.run("resolvectl status br-fc").stdout
    assert "DNS Domain: ~vm" in link and "172.16.0.1:42069" in link
    assert "-DefaultRoute" in link
    host.until(f"tail -1 {SAID} | grep -q '\"routed\": true'", timeout=60)
    assert host.run("dig +short +tcp @172.16.0.1 -p 42069 web.vm").stdout == "172.16.0.2\n"

    tables = host.run("nft list tables").stdout.split("\n")
    assert {"table bridge banger", "table inet banger"} <= set(tables)
    assert "172.16.0.2" in host.run("nft list set inet banger nat").stdout
    assert host.read("/proc/sys/net/ipv4/ip_forward") == "1\n"

    host.run(["systemctl", "stop", "owner-network"])
    assert said(host, "closed")
    assert "~vm" not in host.run("resolvectl domain br-fc").stdout
    assert "172.16.0.2" in host.run("nft list set inet banger nat").stdout, "machines go on"
    host.run(["systemctl", "stop", "monitor"])
    host.run(["banger", "system", "uninstall", "--purge"], timeout=120)
    assert host.read("/proc/sys/net/ipv4/ip_forward") == "0\n"
    assert "banger" not in host.run("nft list tables").stdout
    assert "fc" not in host.run("ls /sys/class/net").stdout
