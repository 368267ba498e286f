"""The doctor on a production host: green, but for what is known of this Firecracker and of the emulated processor."""

import json

from tests.smoke.host.box import Host

ADVISORY = (
    "jailer 1.12.1 has CVE-2026-1386: the jailer follows symbolic links in a jail that somebody else prepared; "
    "jails lie below a directory of root's alone, and a jail that exists is refused; mended in 1.13.2 or 1.14.1"
)
"""All that the row of advisories says: the box's Firecracker is of a release with a known weakness."""


def open_weaknesses(host: Host) -> list[str]:
    """Of the processor, in the kernel's words: it is emulated, and the box is booted with mitigations=off."""
    assert "mitigations=off" in host.read("/proc/cmdline").split()
    listed = host.run("cd /sys/devices/system/cpu/vulnerabilities && grep -l ^Vulnerable *", check=False)
    return listed.stdout.split()


def test_it_is_green_but_for_what_is_known(serving: Host) -> None:
    serving.until("getent ahostsv4 one.vm")  # the resolver's first question takes it seconds in the box
    serving.banger("ssh-config", "--install")
    done = serving.banger("doctor", "--json")
    rows = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    warned = {name for name, each in rows.items() if each["status"] != "pass"}
    assert warned == {"advisories", "mitigations"}, [rows[name] for name in warned]
    assert {rows[name]["status"] for name in warned} == {"warn"}
    assert rows["advisories"]["detail"] == ADVISORY
    assert rows["advisories"]["mend"] == "sudo banger firecracker install"
    assert rows["mitigations"]["detail"] == f"the processor is open to: {', '.join(open_weaknesses(serving))}"
    assert "firecracker" in rows["monitor"]["detail"].lower()
    shown = serving.banger("doctor").stdout.splitlines()
    assert [line.split()[1] for line in shown if line.startswith(("WARN", "FAIL"))] == ["advisories", "mitigations"]
    serving.banger("ssh-config", "--uninstall")
