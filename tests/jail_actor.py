"""A program that plays whoever shares a user or a jail with a monitor: ``jail_actor.py UID ROOT|- [SOCKET]``.

It changes its root directory and its user, listens on the socket if there is one to listen on, says ``ready``, and
stays until its input ends.
"""

import os
import socket
import sys


def main() -> None:
    uid, root, *listen = sys.argv[1:]
    if root != "-":
        os.chroot(root)
        os.chdir("/")
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    with socket.socket(socket.AF_UNIX) as listener:
        for path in listen:
            listener.bind(path)
            listener.listen()
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
