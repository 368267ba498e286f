"""Requests that schemathesis makes of the OpenAPI document, valid and not, sent to a real daemon; what came of them.

References are often replaced by names that are there, so that what is asked for is also begun. A change that begins is
cancelled or waited for: an end must come in `PATIENCE` seconds, as must every answer. Streams are left after their
head. The daemon has the fake driver, an agent that has no rights, and no way to the outside.
"""

import contextlib
import http.client
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from banger import errors
from banger.daemon.openapi import document
from banger.sdk.client import Client
from banger.text import printable
from tests import fakes
from tests.home import Home

PATIENCE = 60.0
ENDLESS = ("application/x-ndjson", "application/octet-stream", "application/x-tar")
LEFT_OUT = ("daemon_stop", "openapi")
"""The end of the daemon, and the document itself."""

MACHINES = ("one", "two")


SESSION = "kept"
"""Runs in each of them."""


@schemathesis.serializer("application/octet-stream", "application/x-tar")
def archive(context: object, value: object) -> bytes:
    """Nothing that schemathesis makes up is an archive: that is the point."""
    return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()


class Reply(NamedTuple):
    """An answer: its document, or None where it was left after its head."""

    status: int
    document: Any


def begin(home: Home) -> None:
    """A daemon that cannot reach the outside, with what requests ask about."""
    home.env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    fakes.prepare(home)
    stock(home)


def stock(home: Home) -> None:
    """What requests may have taken away: the kernel, the image, the machines."""
    with Client(home.paths.socket) as client:
        fakes.stock(home, client)
        for name in set(MACHINES) - {each.name for each in client.vm_list().vms}:
            client.wait(client.vm_create(fakes.request(name)))
        for name in MACHINES:
            with contextlib.suppress(errors.WrongState, errors.AlreadyExists):
                client.sessions(name).start(["sleep", "600"], name=SESSION)


class Sender:
    """Sends what is generated, and keeps count."""

    def __init__(self, home: Home, chance: random.Random) -> None:
        self.home = home
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []
        self._chance = chance
        self._changes = ["0000"]

    def case(self, name: str, path: str, case: Any) -> None:
        """Send one request and judge the answer."""
        known = {
            "vms": MACHINES,
            "images": (fakes.IMAGE,),
            "kernels": (fakes.KERNEL,),
            "operations": tuple(self._changes[-3:]),
        }
        noun = path.split("/")[2]
        if "{ref}" in path and noun in known and self._chance.random() < 0.7:
            case.path_parameters["ref"] = self._chance.choice(known[noun])
            if "{session}" in path and self._chance.random() < 0.8:
                case.path_parameters["session"] = SESSION
        prepared = requests.Request(**case.as_transport_kwargs(base_url="http://banger")).prepare()
        parts = urlsplit(str(prepared.url))
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        body: Any = prepared.body
        data = body.encode() if isinstance(body, str) else body
        kind = {"content-type": str(prepared.headers["content-type"])} if "content-type" in prepared.headers else {}
        told = f"{name}: {prepared.method} {target} {printable(repr(data), 300)}"
        try:
            reply = self.send(str(prepared.method), target, data, kind)
            self._judge(told, reply)
        except (TimeoutError, http.client.HTTPException, OSError) as error:
            self.faults.append(f"{told}: {type(error).__name__} {error}")

    def _judge(self, told: str, reply: Reply) -> None:
        self.statuses[reply.status] += 1
        found = reply.document
        if reply.status >= 500:
            self.faults.append(f"{told}: {reply.status} {found}")
        elif reply.status >= 400 and not (isinstance(found, dict) and found.get("code") and found.get("message")):
            self.faults.append(f"{told}: {reply.status} without a code and words: {found}")
        elif reply.status == 202:
            self._changes.append(found["id"])
            self._end(told, found["id"], back="/v1/vms/" not in told or self._chance.random() < 0.5)

    def _end(self, told: str, change: str, *, back: bool) -> None:
        """See a change to its end, by going ``back`` or forward; downloads and builds would take minutes forward."""
        if back:
            self.send("POST", f"/v1/operations/{change}/cancel")
        limit = time.monotonic() + PATIENCE
        while (state := self.send("GET", f"/v1/operations/{change}").document).get("finished") is None:
            if time.monotonic() > limit:
                self.faults.append(f"{told}: its change does not end: {state}")
                return
            time.sleep(0.01)
        if (state.get("error") or {}).get("code") == "internal":
            self.faults.append(f"{told}: its change failed for a fault of ours: {state['error']}")

    def send(self, method: str, target: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("banger", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(self.home.paths.socket)
        with contextlib.closing(connection):
            connection.request(method, target, data, headers or {})
            answer = connection.getresponse()
            endless = answer.status == 200 and (answer.getheader("content-type") or "").startswith(ENDLESS)
            text = b"" if endless else answer.read()
            return Reply(answer.status, json.loads(text) if text else None)


def attack(home: Home, count: int, number: int, batch: int = 25) -> Sender:
    """At least ``count`` requests, in batches of every operation; the ``number`` decides which."""
    sender = Sender(home, random.Random(number))
    described = document()
    paths = {f"{method.upper()} {path}": path for path, methods in described["paths"].items() for method in methods}
    names = {f"{m.upper()} {p}": each["operationId"] for p, ms in described["paths"].items() for m, each in ms.items()}
    found: Any = schemathesis.openapi.from_dict(described).get_all_operations()
    every = [each.ok() for each in found]
    asked = [each for each in every if names[each.label] not in LEFT_OUT]
    for turn in _numbers(number):
        for operation in asked:
            for mode in GenerationMode:
                _send_some(
                    sender, names[operation.label], paths[operation.label], operation.as_strategy(mode), turn, batch
                )
            stock(home)
        if sum(sender.statuses.values()) >= count or len(sender.faults) > 50:
            return sender
    raise AssertionError("numbers do not end")


def _numbers(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _send_some(sender: Sender, name: str, path: str, strategy: Any, number: int, batch: int) -> None:
    """A batch of one operation's requests; where there is nothing to generate, none."""

    @settings(
        max_examples=batch, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @seed(number)
    @given(case=strategy)
    def send(case: Any) -> None:
        sender.case(name, path, case)

    with contextlib.suppress(Unsatisfiable):
        send()
