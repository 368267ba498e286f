"""The doctor on a production host: everything is in order but what this host is known to lack."""

from tests.smoke.host.box import Host

KNOWN = {
    "advisories": "CVE-2026-1386",
    "mmdebstrap": "not installed",
    "mitigations": "the processor is open to",
}
"""Row -> why it is a warning in the box."""


def test_it_is_green_but_for_what_is_known(serving: Host) -> None:
    done = serving.banger("doctor")
    lines = [line for line in done.stdout.splitlines() if line.startswith(("PASS", "WARN", "FAIL"))]
    warned = [line for line in lines if not line.startswith("PASS")]
    assert len(warned) == len(KNOWN), done.stdout
    for row, reason in KNOWN.items():
        assert any(line.startswith(f"WARN  {row} ") and reason in line for line in warned), done.stdout
    assert any(line.startswith("PASS  monitor") and "firecracker" in line.lower() for line in lines), done.stdout
    assert any(line.startswith("PASS  isolation") for line in lines), done.stdout
