"""States as the list of machines shows them."""

import pytest

from banger.cli.cmd_vm_list import state


@pytest.mark.parametrize(
    ("recorded", "reason", "shown"),
    [
        ("running", None, "running"),
        ("created", None, "created"),
        ("stopped", "powered off", "stopped"),
        ("stopped", "panic: sysrq triggered crash", "stopped (panic)"),
        ("stopped", "killed", "stopped (killed)"),
        ("stopped", "out of memory: the host's limit was reached", "stopped (out of memory)"),
        ("stopped", "expired: powered off", "stopped (expired)"),
        ("error", "killed", "error"),
    ],
)
def test_a_machine_that_did_not_power_itself_off_is_shown_with_the_reason(
    recorded: str, reason: str | None, shown: str
) -> None:
    assert state({"state": recorded, "stop_reason": reason}) == shown
