"""The packet filter as an operation: the whole of what is wanted, every time.

What the kernel lists is compared with what was listed after the last change, and with the elements that are wanted.
Nothing differs: nothing is done. Only elements differ: only they are changed. Anything else differs, because somebody
edited our tables or nobody has made them yet: both are made anew, and listed back. Either is one transaction.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from . import bridge, forwarding, grammar, kept, links, nftables, ruleset
from .host import Host
from .operation import Failed, Operation, Outcome, Refused
from .ruleset import TABLES, Elements, GuestRule

RECORD = "rules"


@dataclass(frozen=True, kw_only=True)
class Rules(Operation):
    """These guests may do this, and nobody else on the bridge anything."""

    NAME: ClassVar[str] = "rules.apply"
    GATE: ClassVar[str] = (
        "Any table but bridge banger and inet banger, and any rule but theirs, which are fixed: a caller fills sets "
        "with taps by their grammar, hardware addresses with our prefix and addresses of the guests' network, each "
        "once. A port below 1024 for guests' questions."
    )

    guests: tuple[GuestRule, ...]
    resolver: int = 0
    """The port on the bridge's address where guests' DNS goes; 0 closes it."""

    def validate(self, host: Host) -> None:
        grammar.bridge(host.bridge)
        if len(self.guests) > host.uid_count:
            raise Refused(f"{len(self.guests)} guests: there are {host.uid_count} slots")
        if self.resolver and not 1024 <= self.resolver <= 65535:
            raise Refused(f"{self.resolver} is not a port for the resolver")
        for each in self.guests:
            grammar.tap(each.tap)
            if grammar.mac(each.mac) == bridge.mac(host):
                raise Refused(f"{each.mac} is the bridge's own hardware address")
            if not ruleset.valid_address(each.address, host):
                raise Refused(f"{each.address[:40]!r} is not a guest's address in {host.network.network}")
        for values in zip(*((each.tap, each.mac, each.address) for each in self.guests), strict=True):
            twice = next((value for value, count in Counter(values).items() if count > 1), None)
            if twice is not None:
                raise Refused(f"{twice} is named twice")

    def describe(self) -> str:
        return f"apply the rules of {len(self.guests)} guests"

    def execute(self, host: Host, descriptors: object = ()) -> Outcome:
        self.validate(host)
        done = self._apply(host)
        missing = self._connect(host)
        if any(each.nat for each in self.guests):
            forwarding.enable(host)
        return Outcome({**done, "missing": missing})

    def _apply(self, host: Host) -> dict[str, object]:
        """Bring the tables to what is wanted; says what was found."""
        wanted = ruleset.elements(self.guests)
        text = ruleset.skeleton(host, self.resolver)
        mark = hashlib.sha256(text.encode()).hexdigest()
        known = kept.read(host, RECORD)
        digests, found = _listed()
        intact = bool(known) and digests == known.get("digests")
        repaired = sorted(family for family in digests if digests[family] != known.get("digests", {}).get(family))
        repaired += [family for family in known.get("digests", ()) if family not in digests]
        if intact and known.get("elements") != _digest(found):
            repaired = ["elements"]
        if known.get("begun"):
            repaired = []  # nobody edited them: we were cut short
        anew = not intact or known.get("text") != mark
        if not anew and found == wanted and not repaired:
            return {"changed": False, "repaired": []}
        change = ruleset.replaced(text, wanted) if anew else ruleset.refilled(wanted)
        kept.write(host, RECORD, {"begun": True})
        nftables.run(change)
        if anew:
            digests, found = _listed()
            if found != wanted:
                raise Failed("nftables lists something else than was asked for")
        kept.write(host, RECORD, {"text": mark, "digests": digests, "elements": _digest(wanted)})
        return {"changed": True, "repaired": repaired}

    def _connect(self, host: Host) -> list[str]:
        """Tell the bridge where each guest is, and which may reach others; the taps that are not on it."""
        if not self.guests:
            return []
        ports = links.ports(host.bridge)
        missing = set()
        for each in self.guests:
            port = ports.get(each.tap)
            if port is not None and port.ours:
                links.isolate(port, not each.peers)
                links.place(port, each.mac)
            else:
                missing.add(each.tap)
        return sorted(missing)

    def _missing(self, host: Host) -> list[str]:
        """The taps that are not on the bridge."""
        ports = links.ports(host.bridge) if self.guests else {}
        there = {tap for tap, port in ports.items() if port.ours}
        return sorted({each.tap for each in self.guests} - there)

    def undo(self, host: Host) -> None:
        forwarding.restore(host)
        if not nftables.installed():
            return  # and so are there no tables
        digests, _ = _listed()
        gone = "".join(f"delete table {family} banger\n" for family in digests)
        if gone:
            nftables.run(gone)
        kept.forget(host, RECORD)


@dataclass(frozen=True, kw_only=True)
class Standing(Rules):
    """Tell whether these rules are in force, and nothing else is in our tables. Nothing is changed.

    ``edited`` are the families whose table is gone or is not the one that was made; ``current`` says whether what was
    made last is what is asked for; ``missing`` are taps that are not on the bridge.
    """

    NAME: ClassVar[str] = "rules.standing"
    GATE: ClassVar[str] = "What `rules.apply` refuses. It looks at our tables and at the ports of our bridge alone."

    def describe(self) -> str:
        return f"look at the rules of {len(self.guests)} guests"

    def execute(self, host: Host, descriptors: object = ()) -> Outcome:
        self.validate(host)
        known = kept.read(host, RECORD)
        made = known.get("digests", {})
        digests, found = _listed()
        mark = hashlib.sha256(ruleset.skeleton(host, self.resolver).encode()).hexdigest()
        edited = [family for family in TABLES if digests.get(family) != made.get(family)]
        if not edited and known.get("elements") not in (None, _digest(found)):
            edited = ["elements"]
        current = known.get("text") == mark and found == ruleset.elements(self.guests)
        return Outcome({"edited": edited, "current": current, "missing": self._missing(host)})

    def undo(self, host: Host) -> None:
        """Looking changes nothing."""


def _listed() -> tuple[dict[str, str], Elements]:
    """Digest and elements of those of our tables that there are, by family."""
    digests, found = {}, {}
    for family in TABLES:
        output = nftables.listed(family, "banger")
        if output is not None:
            try:
                digests[family], found[family] = ruleset.listed(output)
            except (ValueError, KeyError, TypeError):
                raise Failed(f"what nftables says of the table {family} banger is not understood") from None
    return digests, found


def _digest(found: Elements) -> str:
    ordered = [
        (family, name, sorted(found[family][name])) for family in sorted(found) for name in sorted(found[family])
    ]
    return hashlib.sha256(repr(ordered).encode()).hexdigest()
