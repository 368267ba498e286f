"""Machines of banger's, on the box: ``starts.py NAME...``, as the owner, starts them all at once through the SDK.

Prints the seconds until the last one's agent has answered, and the phases of the first.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from banger.api.operation import Operation
from banger.sdk.client import Client


def main(names: list[str]) -> None:
    with ThreadPoolExecutor(len(names)) as pool:
        clients = [Client() for _ in names]
        for client in clients:
            client.daemon_status()
        begun = time.perf_counter()
        ended = list(pool.map(start, clients, names))
        seconds = time.perf_counter() - begun
    phases = {each.name: round(each.seconds, 3) for each in ended[0].phases}
    print(json.dumps({"seconds": seconds, "phases": phases}))


def start(client: Client, name: str) -> Operation:
    return client.wait(client.vm_start(name))


if __name__ == "__main__":
    main(sys.argv[1:])
