"""The plan: what is to be done in a machine, and what is not and why. A pure function of files' contents."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from banger.bootstrap import pins
from banger.bootstrap.pins import Pin, Skip

FILE_LIMIT = 1 << 18
"""The largest file that is read; a package.json of a large project has a quarter of that."""

LISTED = 12
"""How many packages are told by their names, where a line is all there is."""


class Plan(NamedTuple):
    """The ``packages``, ``mise install`` where ``managed`` has files, then ``steps``, one for each tool at most."""

    managed: tuple[str, ...]
    steps: tuple[Pin, ...]
    skips: tuple[Skip, ...]
    packages: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.packages or self.managed or self.steps)

    @property
    def without_tools(self) -> "Plan":
        """What is left of it where there is no mise."""
        return self._replace(managed=(), steps=())

    @property
    def outward(self) -> bool:
        """Whether a machine that reaches nothing is of no use to it."""
        return bool(self.packages or self.managed)

    @property
    def needed(self) -> str:
        """What it is for, in words."""
        return ", ".join(filter(None, (self.listed, self.tools)))

    @property
    def listed(self) -> str:
        """The packages in words; of many, how many."""
        if len(self.packages) > LISTED:
            return f"{len(self.packages)} packages"
        return f"packages {' '.join(self.packages)}" if self.packages else ""

    @property
    def tools(self) -> str:
        """What is left to mise, in words: files, and tools with their versions."""
        return ", ".join([*self.managed, *(f"{each.tool} {each.version} ({each.source})" for each in self.steps)])


def build(files: Mapping[str, bytes | None], packages: Sequence[str] = ()) -> Plan:
    """The plan of a repository with these files, of `pins.NAMES`; None is one that is too large to be looked at.

    ``packages`` are a profile's, checked (`banger.config.profile`).
    """
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
    return Plan(managed, tuple(steps[tool] for tool in sorted(steps)), tuple(skips), tuple(packages))
