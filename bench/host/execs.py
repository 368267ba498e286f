"""``execs.py banger|husker MACHINE COUNT``, on the box: the seconds of COUNT commands each, through the daemon's API.

Both are asked over one connection that stays: ours by the SDK, the peer's by its HTTP API.
"""

import http.client
import json
import sys
import time
from collections.abc import Callable


def ours(machine: str) -> Callable[[], None]:
    from banger.sdk.sandbox import Sandbox

    box = Sandbox.existing(machine)

    def run() -> None:
        box.exec(["true"], check=True)

    return run


def peers(machine: str) -> Callable[[], None]:
    connection = http.client.HTTPConnection("127.0.0.1", 7777, timeout=60)
    body = json.dumps({"command": "true", "args": []})

    def run() -> None:
        connection.request("POST", f"/v1/vms/{machine}/exec", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200 or json.loads(answer).get("exit_code") != 0:
            sys.exit(f"{reply.status}: {answer!r}")

    return run


run = (ours if sys.argv[1] == "banger" else peers)(sys.argv[2])
run()
times = []
for _ in range(int(sys.argv[3])):
    begun = time.perf_counter()
    run()
    times.append(time.perf_counter() - begun)
print(json.dumps(times))
