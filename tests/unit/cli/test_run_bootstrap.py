"""A machine that could not download its tools is refused before it is made, by words that say what to do."""

from types import SimpleNamespace
from typing import cast

import pytest

from banger import errors
from banger.bootstrap import guest
from banger.bootstrap.plan import FILE_LIMIT, build
from banger.cli import bootstrap, cmd_vm_run, machine
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk.client import Client
from banger.workspace.snapshot import Snapshot

NOTHING = cast(Client, None), cast(Snapshot, None), cast(Terminal, None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What is asked for when machines are made, all by a daemon that tells of an image without mise."""
    seen: list[dict[str, object]] = []

    def create(client: Client, wanted: dict[str, object], terminal: Terminal) -> tuple[None, object]:
        seen.append(wanted)
        return None, SimpleNamespace(notices=[guest.NO_MISE])

    monkeypatch.setattr(machine, "create", create)
    return seen


@pytest.mark.parametrize(
    ("name", "content", "outside", "tools"),
    [("mise.toml", b"", True, True), (".nvmrc", b"20\n", False, True), ("Makefile", b"", False, False)],
)
def test_of_tools_only_files_of_mise_ask_for_a_way_out(
    asked: list[dict[str, object]], name: str, content: bytes, outside: bool, tools: bool
) -> None:
    client, what, terminal = NOTHING
    *_, left = cmd_vm_run._make(client, {}, (what, build({name: content})), terminal)
    assert asked == [{"outside": outside, "tools": tools}]
    assert left is not None and left[1].empty, "what it was told to be impossible is left out"


def test_who_has_no_plan_asks_for_nothing(asked: list[dict[str, object]]) -> None:
    client, _, terminal = NOTHING
    assert cmd_vm_run._make(client, {}, None, terminal)[2] is None
    assert asked == [{}]


def test_packages_ask_for_a_way_out_and_may_bring_mise(asked: list[dict[str, object]]) -> None:
    client, _, terminal = NOTHING
    plan = build({"mise.toml": b""}, ["mise"])
    *_, left = cmd_vm_run._make(client, {"nat": False}, (None, plan), terminal)
    assert asked == [{"nat": False, "outside": True, "tools": False}]
    assert left is not None and left[1].packages == ("mise",)


@pytest.mark.parametrize(
    ("said", "packages", "managed"),
    [
        ({}, ("make",), ("mise.toml",)),
        ({"command": ["true"]}, ("make",), ()),
        ({"entrypoint": True}, ("make",), ()),
        ({"no_bootstrap": True}, (), ()),
    ],
)
def test_a_command_does_without_tools_and_who_says_so_without_packages_too(
    said: dict[str, object], packages: tuple[str, ...], managed: tuple[str, ...]
) -> None:
    taken = cast(Snapshot, SimpleNamespace(files={b"mise.toml": SimpleNamespace(mode=0o100644, size=FILE_LIMIT + 1)}))
    arguments = Namespace(**({"command": [], "entrypoint": False, "no_bootstrap": False} | said))
    plan = bootstrap.planned(arguments, taken, ["make"])
    assert (plan.packages, plan.managed) == (packages, managed)
    assert bootstrap.planned(arguments, None, ["make"]).packages == packages


def test_the_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise errors.NoWayOut()

    monkeypatch.setattr(machine, "create", refuse)
    client, what, terminal = NOTHING
    with pytest.raises(errors.NoWayOut, match="reach the outside") as of_packages:
        cmd_vm_run._make(client, {}, (None, build({}, ["make", "gcc"])), terminal)
    assert "(packages make gcc)" in of_packages.value.advice
    with pytest.raises(errors.NoWayOut) as caught:
        cmd_vm_run._make(client, {}, (what, build({".tool-versions": b"go 1.22\n"})), terminal)
    assert caught.value.message == "the machine would not reach the outside"
    assert caught.value.advice == (
        "what it needs comes from there (.tool-versions): --nat lets it, --no-bootstrap leaves that out"
    )
