"""The plan: what is to be done in a machine, and what is not and why. A pure function of files' contents."""

from collections.abc import Mapping
from typing import NamedTuple

from banger.bootstrap import pins
from banger.bootstrap.pins import Pin, Skip

FILE_LIMIT = 1 << 18
"""The largest file that is read; a package.json of a large project has a quarter of that."""


class Plan(NamedTuple):
    """``mise install`` where ``managed`` has files, then ``steps`` in their order, one for each tool at most."""

    managed: tuple[str, ...]
    steps: tuple[Pin, ...]
    skips: tuple[Skip, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.managed or self.steps)

    @property
    def needed(self) -> str:
        """What it is for, in words: files, and tools with their versions."""
        return ", ".join([*self.managed, *(f"{each.tool} {each.version} ({each.source})" for each in self.steps)])


def build(files: Mapping[str, bytes | None]) -> Plan:
    """The plan of a repository with these files, of `pins.NAMES`; None is one that is too large to be looked at."""
    managed = tuple(name for name in pins.MISE_FILES if name in files)
    theirs: set[str] = set()
    skips: list[Skip] = []
    steps: dict[str, Pin] = {}
    for name in managed:
        content = files[name]
        theirs |= pins.managed(name, content) if content is not None else set()
    for name in pins.READERS:
        if name not in files:
            continue
        content = files[name]
        for each in [Skip(name, "it is too large")] if content is None else pins.of_file(name, content):
            if isinstance(each, Skip):
                skips.append(each)
            elif each.tool in theirs:
                skips.append(Skip(name, f"{each.tool} is in a file of mise's", False))
            elif each.tool in steps:
                skips.append(Skip(name, f"{each.tool} is pinned by {steps[each.tool].source}", False))
            else:
                steps[each.tool] = each
    return Plan(managed, tuple(steps[tool] for tool in sorted(steps)), tuple(skips))
