"""Run by test_netguard in a network namespace: listeners, a guest that tries to reach them, and what it said."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

from banger.vmm import drivers
from banger.vmm.driver import LaunchSpec, UserNetwork

ADDRESSES = ("192.0.2.1/32", "169.254.169.254/32")


def listen() -> tuple[int, int]:
    """A TCP and a UDP listener on every address of this namespace that say "reached"; returns their ports."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "addr", "add", address, "dev", "lo"], check=True)
    tcp = socket.create_server(("", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", 0))
    threading.Thread(target=answer_tcp, args=(tcp,), daemon=True).start()
    threading.Thread(target=answer_udp, args=(udp,), daemon=True).start()
    return tcp.getsockname()[1], udp.getsockname()[1]


def answer_tcp(listener: socket.socket) -> None:
    while True:
        with listener.accept()[0] as connection:
            connection.sendall(b"reached\n")


def answer_udp(listener: socket.socket) -> None:
    while True:
        _, peer = listener.recvfrom(1000)
        listener.sendto(b"\0\5\0\0reached\0", peer)  # tftp: an error with a text


async def main() -> None:
    settings = json.loads(sys.argv[1])
    tcp, udp = listen()
    aims = [f"tcp,{address},{tcp};udp,{address},{udp}" for address in settings["addresses"]]
    directory = settings["directory"]
    driver = drivers.by_name("qemu", f"{directory}/cache")
    handle = await driver.launch(
        LaunchSpec(
            vm_id="netguard",
            directory=directory,
            runtime=directory,
            kernel=settings["kernel"],
            initrd=settings["initrd"],
            cmdline=("test.do=net", f"test.net={';'.join(aims)}"),
            vcpus=1,
            memory=256 << 20,
            drives=(),
            network=UserNetwork(host_loopback=settings["host_loopback"]),
        )
    )
    try:
        ended = await driver.wait(handle, 120)
    finally:
        await driver.kill(handle)
    text = Path(handle.console).read_text(errors="replace")
    assert ended is not None and ended.reason == "powered off", (ended, text)
    print(json.dumps({f"{kind} {address}": word for kind, address, word in re.findall(r"net (\S+) (\S+) (\S+)", text)}))


if __name__ == "__main__":
    asyncio.run(main())
