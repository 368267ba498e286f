"""A machine that could not download its tools is refused before it is made, by words that say what to do."""

from types import SimpleNamespace
from typing import cast

import pytest

from banger import errors
from banger.bootstrap.plan import FILE_LIMIT, build
from banger.cli import bootstrap, cmd_vm_run, machine
from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace
from banger.sdk.client import Client
from banger.workspace.snapshot import Snapshot

NOTHING = cast(Client, None), cast(Snapshot, None), cast(Terminal, None)


@pytest.mark.parametrize(("name", "asked"), [("mise.toml", True), (".nvmrc", None), ("Makefile", None)])
def test_of_tools_only_files_of_mise_ask_for_a_way_out(
    monkeypatch: pytest.MonkeyPatch, name: str, asked: bool | None
) -> None:
    seen = []
    monkeypatch.setattr(machine, "create", lambda client, wanted, terminal: seen.append(wanted.get("outside")))
    client, what, terminal = NOTHING
    cmd_vm_run._make(client, {}, (what, build({name: b""})), terminal)
    cmd_vm_run._make(client, {}, None, terminal)
    assert seen == [asked, None]


def test_packages_ask_for_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(machine, "create", lambda client, wanted, terminal: seen.append(wanted.get("outside")))
    client, _, terminal = NOTHING
    cmd_vm_run._make(client, {"nat": False}, (None, build({}, ["make"])), terminal)
    assert seen == [True]


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
