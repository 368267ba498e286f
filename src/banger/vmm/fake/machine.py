"""The process that stands in a guest's place. Run as ``python -IS machine.py SETTINGS``; the standard library only.

SETTINGS is a JSON object: ``listener`` and ``console`` are inherited descriptors, ``largest`` bounds any file that is
written, ``agent`` is a program to run on each connection or null, ``cmdline`` the kernel's command line, of which one
word is understood::

    test.do=echo       send back what comes (what it does without an agent)
    test.do=poweroff   end as a machine that powers itself off
    test.do=panic      end as one whose kernel panics
    test.do=flood      write to the console without an end

One client at a time is served, as by a virtio-serial port. An agent has the connection as its standard input and
output and its environment empty. The commands that it runs run here, on the host: this is for tests.
"""

import json
import os
import resource
import signal
import socket
import sys
import time

PANIC = "Kernel panic - not syncing: as asked for"


def main() -> int:
    settings = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (settings["largest"], settings["largest"]))
    listener = socket.socket(fileno=settings["listener"])
    words = settings["cmdline"].split()
    asked = next((each.partition("=")[2] for each in words if each.startswith("test.do=")), "echo")
    write(settings["console"], f"fake machine: {settings['cmdline']}")
    if asked == "panic":
        write(settings["console"], PANIC)
        return end("panic")
    if asked == "poweroff":
        return end("powered off")
    if asked == "flood":
        import threading

        threading.Thread(target=flood, args=(settings["console"],), daemon=True).start()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        with connection:
            serve(connection, settings["agent"])


def write(console: int, line: str) -> None:
    os.write(console, line.encode() + b"\r\n")


def end(how: str) -> int:
    """The log's last line is for the driver: a killed process writes none."""
    print(f"fake machine ended: {how}", flush=True)
    return 0


def flood(console: int) -> None:
    line = b"all work and no play " * 50 + b"\r\n"
    while True:
        try:
            os.write(console, line)
        except OSError:  # the file may grow no more
            time.sleep(0.1)


def serve(connection: socket.socket, agent: "list[str] | None") -> None:
    if agent is not None:
        ends = [(os.POSIX_SPAWN_DUP2, connection.fileno(), number) for number in (0, 1)]
        os.waitpid(os.posix_spawn(agent[0], agent, {"PATH": os.defpath}, file_actions=ends), 0)
        return
    try:
        while data := connection.recv(1 << 16):
            connection.sendall(data)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
