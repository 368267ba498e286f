"""``banger vm logs``: the console, whose every byte is the guest's.

A pipe gets the bytes as they are. On a terminal nothing may reach the user's terminal but text, line ends and
colours: an escape sequence of a guest could retitle the window, answer for the user, or hide what happened.
"""

import codecs
import os
import re
from collections.abc import Callable

from banger.cli import session
from banger.cli.terminal import Terminal, coloured
from banger.cli.verb import Namespace
from banger.sdk.client import Client

_COLOUR = re.compile("\x1b\\[[0-9;]{0,32}m")
_OTHER = re.compile("[^\x20-\x7e\n\t]")


def run(arguments: Namespace, terminal: Terminal) -> int:
    show: Callable[[bytes], bytes] = bytes
    if os.isatty(session.STDOUT_FD):
        show = Filter(colour=coloured(session.STDOUT_FD)).feed
    with Client() as client:
        for data in client.vm_logs(arguments.vm, follow=arguments.follow):
            session.write_all(session.STDOUT_FD, show(data))
    return 0


class Filter:
    """Makes a console fit for a terminal, piece by piece."""

    def __init__(self, *, colour: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._colour = colour
        self._held = ""

    def feed(self, data: bytes) -> bytes:
        """What may be shown of ``data``; the beginning of a sequence waits for its rest."""
        text = self._held + self._decoder.decode(data).replace("\r", "")
        cut = text.rfind("\x1b", max(0, len(text) - 40))
        complete = cut < 0 or _COLOUR.match(text, cut) or not re.fullmatch("\x1b(\\[[0-9;]*)?", text[cut:])
        self._held = "" if complete else text[cut:]
        shown = text if complete else text[:cut]
        parts = []
        position = 0
        for colour in _COLOUR.finditer(shown):
            parts.append(_escaped(shown[position : colour.start()]))
            parts.append(colour.group() if self._colour else "")
            position = colour.end()
        parts.append(_escaped(shown[position:]))
        return "".join(parts).encode("utf-8", "backslashreplace")


def _escaped(text: str) -> str:
    return _OTHER.sub(_shown, text)


def _shown(found: "re.Match[str]") -> str:
    character = found.group()
    return character if character.isprintable() else character.encode("unicode_escape").decode()
