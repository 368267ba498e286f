"""Names of machines: the grammar that every name follows, and pleasant ones for machines that were given none.

A name is a host name's label, as it becomes one in the guest: lower-case letters, digits and hyphens, at most 63.
"""

import re
import secrets
from collections.abc import Container

from banger import errors

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

ADJECTIVES = (
    "able", "amber", "ample", "apt", "azure", "blithe", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid",
    "civil", "clear", "clever", "cosy", "crisp", "daring", "deft", "eager", "early", "fair", "fleet", "fond", "frank",
    "fresh", "gentle", "glad", "golden", "grand", "hale", "handy", "hardy", "honest", "humble", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "neat", "nimble", "noble", "patient", "plain",
    "polite", "prime", "proud", "quick", "quiet", "ready", "robust", "rosy", "serene", "sharp", "silver", "sleek",
    "smart", "snug", "sober", "solid", "sound", "spry", "steady", "still", "stout", "sturdy", "subtle", "sunny", "sure",
    "swift", "tidy", "trim", "true", "trusty", "vivid", "warm", "wise", "witty", "worthy", "young", "zesty",
)  # fmt: skip
ANIMALS = (
    "adder", "ant", "badger", "bat", "bear", "beaver", "bee", "bison", "boar", "bream", "buzzard", "carp", "cat",
    "condor", "coot", "crab", "crane", "crow", "deer", "dingo", "dolphin", "dove", "eagle", "egret", "elk", "falcon",
    "ferret", "finch", "fox", "frog", "gannet", "gecko", "goat", "goose", "gull", "hare", "hawk", "heron", "horse",
    "ibex", "ibis", "jackal", "jay", "kestrel", "kite", "koala", "lark", "lemur", "linnet", "lion", "lizard", "lynx",
    "magpie", "marten", "mole", "moose", "moth", "mouse", "newt", "ocelot", "orca", "osprey", "otter", "owl", "panda",
    "perch", "pigeon", "pike", "plover", "puffin", "puma", "quail", "rabbit", "raven", "robin", "rook", "salmon",
    "seal", "shrew", "skylark", "snipe", "sparrow", "stoat", "stork", "swallow", "swan", "tapir", "tern", "thrush",
    "tiger", "toad", "trout", "turtle", "viper", "vole", "walrus", "weasel", "whale", "wolf", "wren", "yak", "zebra",
)  # fmt: skip


def check(name: str) -> str:
    """``name`` itself. Raises `errors.InvalidName`."""
    if not NAME.fullmatch(name):
        raise errors.InvalidName(name=name[:80])
    return name


def generate(taken: Container[str]) -> str:
    """An adjective and an animal that are not ``taken``; with a number once most pairs are."""
    for attempt in range(1000):
        name = f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}"
        if attempt >= 20:
            name += f"-{secrets.randbelow(10_000)}"
        if name not in taken:
            return name
    raise errors.InternalError(detail="no free name was found")
