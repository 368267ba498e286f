"""Rows of the table."""

from banger.cli.cmd_vm_ports import row

PORT: dict[str, object] = {
    "protocol": "tcp", "address": "127.0.0.1", "port": 80, "pid": 7, "process": "nginx", "endpoint": None,
    "unreachable": "loopback", "scheme": None, "link": None,
}  # fmt: skip


def test_what_is_shown_in_the_place_of_what_is_not_there() -> None:
    shown = row("web", PORT)
    assert (shown["name"], shown["process"], shown["endpoint"]) == ("web", "nginx (7)", "(loopback only)")
    assert row("web", {**PORT, "unreachable": "network"})["endpoint"] == "(not forwarded)"
    assert row("web", {**PORT, "unreachable": "of a later version"})["endpoint"] is None
    assert row("web", {**PORT, "process": None})["process"] == "? (7)"
    assert row("web", {**PORT, "process": None, "pid": None})["process"] is None


def test_an_endpoint_is_shown_as_it_is() -> None:
    assert row("web", {**PORT, "endpoint": "web.vm:80", "unreachable": None})["endpoint"] == "web.vm:80"
