"""The peer's side of `bench_peer_quicksand`: runs in the peer's own environment and prints its times as JSON.

One round: a machine from nothing to the first output of a command, some warm commands, the stop.
"""

import asyncio
import json
import time

from quicksand_core import Sandbox  # type: ignore[import-not-found]

WARM = 9


async def main() -> None:
    begun = time.perf_counter()
    sandbox = Sandbox(image="alpine", accel=None, boot_timeout=300)
    await sandbox.start()
    first = await sandbox.execute("echo ready")
    assert "ready" in first.stdout
    times: dict[str, object] = {"first": time.perf_counter() - begun}
    warm = []
    for _ in range(WARM):
        begun = time.perf_counter()
        await sandbox.execute("true")
        warm.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    await sandbox.stop()
    print(json.dumps({**times, "exec": warm, "stop": time.perf_counter() - begun}))


asyncio.run(main())
