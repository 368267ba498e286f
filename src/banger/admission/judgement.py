"""The judgement: a wish, the facts and the limits in, notices or an error out. It looks at nothing itself.

Refused is what cannot end well, or what the owner has ruled out: a name that is taken, more machines or memory than the
settings allow, less free disk than is certain to be written, with the reserve on top. What may end well and need not is
admitted and said aloud: a machine's disk and memory are promises, of which most machines use a part.

A fact that is not known is None and speaks against nobody; a negative amount gives nobody anything.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from banger import errors
from banger.config.sizes import MIB, format_size

OWN_RESERVE = 512 * MIB
"""What stays free of a disk where the settings do not say; of a small disk, a twentieth."""

SHOW = "'banger df' shows what takes it"


class Wish(NamedTuple):
    """What a change takes from its begin to its end, in bytes. ``subject`` is the engine's."""

    subject: str
    disk: int = 0
    """Certain to be written, below ``place``."""
    place: str = ""
    reserved: bool = True
    """The reserve is to stay free; not for what may be needed in order to make room."""
    machine: str = ""
    """The id of the machine that it makes or starts."""
    name: str = ""
    """Of a machine that it makes and that stays."""
    memory: int = 0
    """Of a machine that it starts."""
    virtual: int = 0
    """What a machine that it makes may come to write."""


class Machine(NamedTuple):
    """A machine on record. One that a change has made for itself has no name here."""

    id: str
    name: str
    memory: int
    running: bool
    virtual: int
    """What its disks can hold."""
    written: Callable[[], int] = int
    """What they hold already; looked at where it matters alone, of one machine after the other."""

    def left(self) -> int:
        """What they may still grow by."""
        return max(0, self.virtual - self.written())


class Facts(NamedTuple):
    """What there is at this moment."""

    path: str
    """A directory of the disk that is written to."""
    size: int
    free: int
    memory: int | None
    """Of the host."""
    available: int | None
    """What new programs can have of it without swapping."""
    machines: Sequence[Machine] = ()
    claims: Sequence[Wish] = ()
    """Changes under way."""
    written: Callable[[Wish], int] = lambda claim: 0
    """What of a claim's disk is there already; looked at where it matters alone."""


class Limits(NamedTuple):
    """What the owner allows; 0 is no limit."""

    machines: int = 0
    memory: int = 0
    overcommit: float = 4.0
    reserve: int | None = None


def judge(wish: Wish, facts: Facts, limits: Limits) -> list[str]:
    """What the user should know in passing.

    Raises `errors.AlreadyExists`, `errors.LimitReached`, `errors.NoRoom`.
    """
    if wish.name:
        _name(wish, facts)
        _count(wish, facts, limits)
    if wish.memory > 0:
        _memory(wish, facts, limits)
    _disk(wish, facts, limits)
    return [*_tight_memory(wish, facts), *_promised_disk(wish, facts)]


def _name(wish: Wish, facts: Facts) -> None:
    names = {each.name for each in facts.machines if each.id != wish.machine}
    names |= {each.name for each in facts.claims if each.machine != wish.machine}
    if wish.name in names:
        raise errors.AlreadyExists(kind="machine", name=wish.name)


def _count(wish: Wish, facts: Facts, limits: Limits) -> None:
    there = {each.id for each in facts.machines if each.name} | {each.machine for each in facts.claims if each.name}
    count = len(there - {wish.machine})
    if limits.machines and count >= limits.machines:
        reached = errors.LimitReached(
            reason=f"there are {count} machines, and machine_limit allows {limits.machines}",
            setting="machine_limit", limit=limits.machines, asked=count + 1,
        )  # fmt: skip
        reached.advise("delete one that is not needed ('banger ps' lists them), or raise machine_limit in config.toml")
        raise reached


def _promised(wish: Wish, facts: Facts) -> int:
    """The memory of all machines that run or are about to, this one included."""
    memory = {each.id: max(0, each.memory) for each in facts.machines if each.running}
    for each in (*facts.claims, wish):
        if each.memory > 0:
            memory[each.machine] = max(each.memory, memory.get(each.machine, 0))
    return sum(memory.values())


def _memory(wish: Wish, facts: Facts, limits: Limits) -> None:
    asked = _promised(wish, facts)
    if limits.memory and asked > limits.memory:
        reached = errors.LimitReached(
            reason=f"the machines that run would have {format_size(asked)} of memory, and memory_limit allows "
            f"{format_size(limits.memory)}",
            setting="memory_limit", limit=limits.memory, asked=asked,
        )  # fmt: skip
        reached.advise("stop one that is not needed, give it less with --memory, or raise memory_limit in config.toml")
        raise reached
    if facts.memory and asked > facts.memory * limits.overcommit:
        short = errors.NoRoom(
            reason=f"the machines that run would have {format_size(asked)} of memory, which is more than "
            f"{limits.overcommit:g} times the host's {format_size(facts.memory)}",
            resource="memory", needed=asked, available=int(facts.memory * limits.overcommit),
        )  # fmt: skip
        short.advise("stop one that is not needed, give it less with --memory, or raise memory_overcommit")
        raise short


def reserve(size: int, limits: Limits) -> int:
    """What stays free of a disk of that size."""
    return min(OWN_RESERVE, max(0, size) // 20) if limits.reserve is None else limits.reserve


def _disk(wish: Wish, facts: Facts, limits: Limits) -> None:
    kept = reserve(facts.size, limits) if wish.reserved else 0
    needed = max(0, wish.disk) + sum(max(0, each.disk) for each in facts.claims)
    if not (needed or kept) or needed + kept <= facts.free:
        return
    needed = max(0, wish.disk) + sum(max(0, each.disk - facts.written(each)) for each in facts.claims)
    if needed + kept <= facts.free:
        return
    if kept > facts.size:
        reason = f"disk_reserve is {format_size(kept)}, and the disk that holds {facts.path} has {size(facts.size)}"
        hint = "lower disk_reserve in config.toml"
    else:
        reason = f"{size(facts.free)} of the disk that holds {facts.path} are free: {size(needed)} are needed"
        reason += f", and {format_size(kept)} stay in reserve (disk_reserve)" if kept else ""
        hint = f"free some space: {SHOW}"
    short = errors.NoRoom(reason=reason, resource="disk", needed=needed + kept, available=facts.free)
    short.advise(hint)
    raise short


def _tight_memory(wish: Wish, facts: Facts) -> list[str]:
    """Other machines that are about to start have not taken theirs yet."""
    running = {each.id for each in facts.machines if each.running}
    if facts.available is None or wish.memory <= 0 or wish.machine in running:
        return []
    coming = sum(max(0, each.memory) for each in facts.claims if each.machine not in running)
    left = max(0, facts.available - coming)
    if wish.memory <= left:
        return []
    return [f"the machine may come to use {format_size(wish.memory)} of memory, and the host has {size(left)} left"]


def _promised_disk(wish: Wish, facts: Facts) -> list[str]:
    """What all machines may come to write, the one that is asked for included; only who adds to it is told."""
    if wish.virtual <= 0:
        return []
    known = {each.id for each in facts.machines} | {wish.machine}
    left = wish.virtual + sum(max(0, each.virtual) for each in facts.claims if each.machine not in known)
    others = [each for each in facts.machines if each.id != wish.machine]
    if left + sum(max(0, each.virtual) for each in others) <= facts.free:
        return []
    for each in others:
        if left > facts.free:
            break
        left += each.left()
    if left <= facts.free:
        return []
    return [
        f"machines may come to write more to their disks than the {size(facts.free)} that are free: one that finds "
        "the disk full stands still, and loses nothing"
    ]


def size(count: int) -> str:
    """A size for people, of a disk whose numbers may be strange."""
    return format_size(max(0, count))
