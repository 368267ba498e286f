"""What the host's ssh makes of a configuration that includes banger's, as ``ssh -G`` tells without a connection."""

import subprocess
from pathlib import Path

import pytest

from banger.config.settings import build
from banger.paths import Paths
from banger.ssh import client, including

USERS = {
    "empty": b"",
    "global": b"User somebody\nProxyCommand false\nForwardAgent yes\nStrictHostKeyChecking no",
    "wildcard": b"Host *\n\tUser somebody\n\tProxyJump bastion\n\tIdentityFile /no/such\n",
    "CRLF": b"Host *\r\n  User somebody\r\n  UserKnownHostsFile /other\r\n",
    "match": b"# mine\n\nMatch host *.vm\n  User somebody\nMatch all\n  ProxyCommand none\n",
    "elsewhere": b"Host web.vm other\n  HostName 192.0.2.1\n  User somebody\n  Port 2222\n",
}


def asked(config: Path, host: str) -> dict[str, str]:
    """How ssh would go about a connection; of several keys, which it tries first."""
    done = subprocess.run(["ssh", "-G", "-F", config, host], capture_output=True, text=True, timeout=30, check=True)
    return dict(line.split(" ", 1) for line in reversed(done.stdout.splitlines()) if " " in line)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """With a blank in a name, as a home may have one."""
    return Paths("/c", str(tmp_path / "a state"), "/k", "/r")


@pytest.mark.parametrize("users", USERS.values(), ids=USERS)
def test_machines_are_reached_and_nobody_else_otherwise_than_before(tmp_path: Path, paths: Paths, users: bytes) -> None:
    config = tmp_path / "config"
    config.write_bytes(users)
    before = asked(config, "example.org")
    client.write_configuration(paths, build({}, {}))
    assert including.change(str(config), f"Include {client.quoted(paths.ssh_config)}")
    said = asked(config, "web.vm")
    assert (said["user"], said["stricthostkeychecking"], said["hostkeyalgorithms"]) == ("root", "true", "ssh-ed25519")
    assert said["proxycommand"].endswith("internal ssh-proxy %h") and "proxyjump" not in said
    assert said["userknownhostsfile"] == paths.known_hosts and said["forwardagent"] == "no"
    assert said["identityfile"] == paths.ssh_key
    assert asked(config, "example.org") == before
