"""The operations that other rooms ask for, under one roof: none of them imports the helper."""

from banger.helper.bridge import Bridge
from banger.helper.resolver import Resolver
from banger.helper.rules import Rules
from banger.helper.ruleset import GuestRule
from banger.helper.tap import Tap

__all__ = ["Bridge", "GuestRule", "Resolver", "Rules", "Tap"]
