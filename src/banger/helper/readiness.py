"""Telling systemd how a service of banger's is (sd_notify(3)): the helper's words, and the daemon's.

The address is in NOTIFY_SOCKET: a path, or after an ``@`` an abstract name. Without one, nobody wants to be told.
"""

import socket
from collections.abc import Mapping

VARIABLE = "NOTIFY_SOCKET"
READY, STOPPING = "READY=1", "STOPPING=1"


def notify(environment: Mapping[str, str], state: str) -> str:
    """Tell systemd, where it wants to be told; why it could not be, which is no failure of the service."""
    address = environment.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            return str(error.strerror or error)
    return ""
