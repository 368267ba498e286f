"""Shares of processor time between looks, and rows of the table."""

from banger.cli.cmd_vm_stats import Shares, row

WEB = {
    "id": "1", "name": "web", "vcpu": 2, "cpu_seconds": 10.0, "memory": 1 << 30, "memory_resident": 300 << 20,
    "disk_size": 8 << 30, "disk_used": 5 << 20, "received": None, "sent": None, "uptime": 100.0,
}  # fmt: skip


def test_the_first_share_is_since_the_start_and_later_ones_since_the_look_before() -> None:
    shares = Shares()
    assert shares.share(WEB, 500.0) == 0.1
    assert shares.share({**WEB, "cpu_seconds": 13.0, "uptime": 102.0}, 502.0) == 1.5
    assert shares.share({**WEB, "cpu_seconds": 13.0, "uptime": 102.0}, 502.0) is None, "no time has passed"


def test_a_machine_that_was_started_again_begins_anew() -> None:
    shares = Shares()
    shares.share(WEB, 500.0)
    assert shares.share({**WEB, "cpu_seconds": 1.0, "uptime": 4.0}, 510.0) == 0.25


def test_what_is_not_known_is_not_shown() -> None:
    stopped = {**WEB, "cpu_seconds": None, "memory_resident": None, "uptime": None}
    share = Shares().share(stopped, 1.0)
    shown = row({**stopped, "cpu_share": share})
    assert (shown["cpu"], shown["cpu_seconds"], shown["network"], shown["uptime"]) == (None, None, None, None)
    assert shown["memory"] == "- of 1 GiB"
    assert row({**WEB, "cpu_share": 0.5, "received": 1024, "sent": 5})["network"] == "1 KiB / 5 B"
    assert row({**WEB, "cpu_share": 0.5})["cpu"] == "50% of 200%"
