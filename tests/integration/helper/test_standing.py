"""Whether the packet filter stands as it was made: asked of the kernel, and nothing is changed by asking."""

from dataclasses import replace

import pytest

from banger.helper.bridge import Bridge
from banger.helper.host import Host
from banger.helper.rules import Standing
from banger.helper.ruleset import GuestRule
from banger.helper.tap import Tap
from tests.integration.helper.rig import RESOLVER, Namespace, nft, perform, rule
from tests.integration.helper.test_rules import apply

pytestmark = pytest.mark.root


def standing(host: Host, *guests: GuestRule) -> dict[str, object]:
    return dict(perform(Standing(guests=guests, resolver=RESOLVER), host).values)


def test_whether_the_rules_stand_is_told_and_nothing_is_changed(host: Host, inside: Namespace) -> None:
    perform(Bridge(), host)
    for slot in (0, 1):
        perform(Tap(slot=slot), host)
    first, second = rule(0), rule(1)
    sound = {"edited": [], "current": True, "missing": []}
    apply(host, first, second)
    assert standing(host, first, second) == sound
    assert standing(host, first) == {**sound, "current": False}
    assert standing(host, replace(first, nat=True), second) == {**sound, "current": False}
    strange = replace(first, tap="tap-fc-9", mac="02:fc:ac:10:00:0b", address="172.16.0.11")
    assert standing(host, strange) == {"edited": [], "current": False, "missing": ["tap-fc-9"]}
    for edit, edited in (
        ("flush set bridge banger guests", ["elements"]),
        ("insert rule bridge banger from_guest accept", ["bridge"]),
        ("delete table inet banger", ["inet"]),
        ("flush ruleset", ["bridge", "inet"]),
    ):
        nft(edit)
        for _ in range(2):
            assert standing(host, first, second)["edited"] == edited, edit
        apply(host, first, second)
        assert standing(host, first, second) == sound, edit
