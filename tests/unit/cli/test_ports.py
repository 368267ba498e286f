"""Rows of the table."""

from banger.cli.cmd_vm_ports import row, rows

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


def test_ports_of_this_host_are_shown_beside_the_name_and_alone() -> None:
    both = row("web", {**PORT, "endpoint": "web.vm:80", "unreachable": None, "forwards": ["127.0.0.1:8080"]})
    assert both["endpoint"] == "web.vm:80, 127.0.0.1:8080"
    alone = {"endpoint": "127.0.0.1:8080", "unreachable": None, "forwards": ["127.0.0.1:8080", "[::1]:9"]}
    assert row("web", {**PORT, **alone})["endpoint"] == "127.0.0.1:8080, [::1]:9"


def test_a_port_that_leads_to_nothing_is_shown() -> None:
    forwards = [{"address": "127.0.0.1", "port": port, "guest": guest} for port, guest in ((8080, 80), (1, 9), (2, 9))]
    shown = rows({"name": "web", "ports": [PORT], "forwards": forwards})
    assert [(each["port"], each["process"], each["endpoint"]) for each in shown[1:]] == [
        (9, "(nothing listens)", "127.0.0.1:1, 127.0.0.1:2")
    ]
