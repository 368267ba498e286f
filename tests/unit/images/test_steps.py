"""An image's history: its author's words, bounded and fit to be shown."""

from banger.images import sources
from banger.oci.manifest import Config, HistoryEntry, decode


def test_steps_are_those_of_the_images_config() -> None:
    text = (
        b'{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[]},"history":['
        b'{"created":"2020-01-01T00:00:00Z","created_by":"ADD rootfs.tar /"},'
        b'{"created_by":"CMD sh","empty_layer":true},{"created_by":null}]}'
    )
    found = sources.steps(decode(text, Config, "x").history or [])
    assert [(each.text, each.empty) for each in found] == [("ADD rootfs.tar /", False), ("CMD sh", True), ("", False)]


def test_a_hostile_history_is_cut_and_cannot_move_a_cursor() -> None:
    entries = [HistoryEntry("\x1b[2J" + "x" * 1_000_000)] * 5000
    found = sources.steps(entries)
    assert len(found) == sources.STEPS + 1 and found[-1].text == f"... and {5000 - sources.STEPS} more"
    assert all(each.text.isprintable() and len(each.text) <= sources.STEP_LENGTH + 10 for each in found)
