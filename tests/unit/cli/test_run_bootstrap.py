"""A machine that could not download its tools is refused before it is made, by words that say what to do."""

from typing import cast

import pytest

from banger import errors
from banger.bootstrap.plan import build
from banger.cli import cmd_vm_run, machine
from banger.cli.terminal import Terminal
from banger.sdk.client import Client
from banger.workspace.snapshot import Snapshot

NOTHING = cast(Client, None), cast(Snapshot, None), cast(Terminal, None)


@pytest.mark.parametrize(("name", "asked"), [("mise.toml", True), (".nvmrc", None), ("Makefile", None)])
def test_only_files_of_mise_ask_for_a_way_out(monkeypatch: pytest.MonkeyPatch, name: str, asked: bool | None) -> None:
    seen = []
    monkeypatch.setattr(machine, "create", lambda client, wanted, terminal: seen.append(wanted.get("outside")))
    client, what, terminal = NOTHING
    cmd_vm_run._make(client, {}, (what, build({name: b""})), terminal)
    cmd_vm_run._make(client, {}, None, terminal)
    assert seen == [asked, None]


def test_the_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise errors.NoWayOut()

    monkeypatch.setattr(machine, "create", refuse)
    client, what, terminal = NOTHING
    with pytest.raises(errors.NoWayOut) as caught:
        cmd_vm_run._make(client, {}, (what, build({".tool-versions": b"go 1.22\n"})), terminal)
    assert caught.value.message == "the machine would not reach the outside"
    assert caught.value.advice == (
        "its tools come from there (.tool-versions): --nat lets it, --no-bootstrap leaves them out"
    )
