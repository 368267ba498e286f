"""What the root helper's gates are for, one list an operation: requests written by hand, and how each is answered.

A row replaces something of a request that is right, and the helper that is asked is a real one, over its socket, with
machines that live: one of the attacker's own, and others that no request may touch.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from banger.helper import links
from banger.helper.host import Host
from banger.helper.launch import Launch
from banger.helper.process import start_ticks
from tests.security.helper_machines import GIVEN, LARGER, Ask, OwnMachine, request

NOBODY = "feedfacefeedface"
"""The id of a machine that there is not."""
IDS = (
    "",
    ".",
    "..",
    "/",
    "../../etc",
    "feedfacefeedfac",
    "FEEDFACEFEEDFACE",
    "feedfacefeedface\n",
    "feedfacefeedface/..",
)


_STRANGERS = 8
"""Of other processes as many, the first that are known."""


class Row(NamedTuple):
    """A request, and what its reply has to be: ``refused``, ``failed`` or ``values``, with such words in it."""

    operation: str
    arguments: Any
    kind: str
    words: str
    descriptors: Sequence[str] = ()
    undo: bool = False


def tried(ask: Ask, host: Host, known: Mapping[str, Any], own: OwnMachine) -> dict[str, list[list[str]]]:
    """All rows, by operation: each with how it was answered. Those with an empty answer are as they should be."""
    found: dict[str, list[list[str]]] = {}
    for row in rows(host, known, own):
        asked = {"operation": row.operation, "arguments": row.arguments, "undo": row.undo}
        reply, received = ask(asked, row.descriptors)
        for each in received:
            os.close(each)
        said = json.dumps(reply.get(row.kind), ensure_ascii=False) if row.kind in reply else ""
        wrong = "" if said and re.search(row.words, said) else json.dumps(reply)
        found.setdefault(row.operation, []).append([json.dumps(asked)[:300], f"{row.kind}: {row.words}", wrong])
    return found


def rows(host: Host, known: Mapping[str, Any], own: OwnMachine) -> list[Row]:
    """The lists."""
    files = known["files"]
    return [
        *_plain(),
        *_of_machines(own),
        *_signals(host, known, own),
        *_launches(host, known, own),
        *_store(files, known["kernel"]),
        *_disks(files),
        *_offline(),
        *_network(host),
    ]


def _plain() -> list[Row]:
    """What takes no argument takes none, and no descriptor."""
    names = ("helper.ping", "store.prune", "machine.list", "disk.list", "bridge.ensure")
    found = [Row(name, {"name": "br0"}, "refused", "there is no 'name'") for name in names]
    found += [Row(name, [], "refused", "an object is expected") for name in names]
    found += [Row(name, {}, "refused", "takes 0 descriptors, not 1", ("disk",)) for name in names]
    return found


def _of_machines(own: OwnMachine) -> list[Row]:
    """Everything that names a machine names it by its id and nothing else."""
    more: dict[str, dict[str, Any]] = {
        "machine.sweep": {}, "machine.contain": {}, "machine.inspect": {}, "machine.connect": {"socket": "api"},
        "machine.metrics": {},
        "machine.signal": {"pid": own.process[0], "start_ticks": own.process[1], "signal": "KILL"}, "disk.remove": {},
        "snapshot.check": {}, "ext4.read": {"path": "/etc/passwd"}, "ext4.write": {},
    }  # fmt: skip
    found = [
        Row(name, {"vm_id": each, **fields}, "refused", "is not a machine's id") for name, fields in more.items()
        for each in IDS
    ]  # fmt: skip
    undone = ("machine.launch", "snapshot.create", "disk.attach")
    rest: dict[str, dict[str, Any]] = {
        "machine.launch": {"slot": 0, "kernel": "0" * 64, "vcpus": 1, "memory": 128},
        "snapshot.create": {"base": "", "overlay": "", "size": 0},
        "disk.attach": {"file": ""},
    }
    for name in undone:
        found += [
            Row(name, {"vm_id": each, **rest[name]}, "refused", "is not a machine's id", undo=True) for each in IDS
        ]
    return [
        *found,
        Row("machine.inspect", {"vm_id": NOBODY}, "values", '"jail": false, "cgroup": false'),
        Row("machine.contain", {"vm_id": NOBODY}, "values", '"threads": 0'),
        Row("machine.connect", {"vm_id": NOBODY, "socket": "api"}, "failed", "has no jail"),
        Row("machine.metrics", {"vm_id": NOBODY}, "failed", "has no jail"),
        *(
            Row("machine.connect", {"vm_id": own.vm_id, "socket": each}, "refused", "is not a socket of a machine's")
            for each in ("", ".", "../run/api", "api.sock", "/run/systemd/private", "vsock\n")
        ),
    ]


def _signals(host: Host, known: Mapping[str, Any], own: OwnMachine) -> list[Row]:
    """A process that is another's, or has become another's, or none at all."""
    pid, ticks = own.process

    def to(pid: int, ticks: int, kind: str, words: str, vm_id: str = own.vm_id, signal: str = "KILL") -> Row:
        asked = {"vm_id": vm_id, "pid": pid, "start_ticks": ticks, "signal": signal}
        return Row("machine.signal", asked, kind, words)

    found = [
        to(pid, ticks, "refused", "is not the monitor", vm_id=NOBODY),
        to(pid, ticks - 1, "values", '"sent": false'),  # its number, and another's beginning
        *(to(pid, ticks, "refused", "is not a signal", signal=each) for each in ("STOP", "HUP", "9", "", "kill")),
        *(to(each, 1, "refused", "is not the pid of a monitor") for each in (1, 0, -1, -pid, 1 << 23)),
        to(pid, -1, "refused", "is not the pid of a monitor"),
    ]
    for each in known["pids"][:_STRANGERS]:
        begun = start_ticks(each)
        if begun is not None and each > 1:
            found += [to(each, begun, "refused", "is not the monitor"), to(each, ticks, "values", '"sent": false')]
    return found


def _launches(host: Host, known: Mapping[str, Any], own: OwnMachine) -> list[Row]:
    """A machine that is there, a slot that is another's, too much, files that are not the caller's to give."""
    right: dict[str, Any] = request(own.launch)["arguments"] | {"vm_id": NOBODY, "slot": own.slot + 1}

    def with_(kind: str, words: str, given: Sequence[str] = GIVEN, /, **changed: Any) -> Row:
        return Row(Launch.NAME, right | changed, kind, words, given)

    found = [
        with_("refused", "must be swept first", vm_id=own.vm_id),
        with_("refused", "the slot is taken", slot=own.slot),
        *(with_("refused", "the slot is taken", slot=each) for each in known["slots"]),
        *(with_("refused", "is not a slot", slot=each) for each in (-1, -host.first_uid, host.uid_count, 1 << 31)),
        with_("failed", "is not in the store", kernel="0" * 64),
        *(with_("refused", "is not a sha256", kernel=each) for each in ("vmlinux", "../store", "", "A" * 64)),
        *(with_("failed", "has no disk attached", **{each: True}) for each in ("device", "work")),
        *(with_("refused", "is not the name of a tap", tap=each) for each in ("eth9", "lo", "br0", "tap-fc-1/..", "")),
        with_("failed", "there is no tap", tap="tap-fc-9999"),
    ]
    if os.path.exists("/sys/class/net/tap-fc-77"):
        found.append(with_("refused", "is for uid", tap="tap-fc-77"))
    for name, wrong in {
        "vcpus": (0, -1, 33), "memory": (0, 31, (1 << 20) + 1), "cpu_weight": (0, -1, 10_001),
        "io_bytes": (-1, (1 << 40) + 1), "io_operations": (-1, (1 << 30) + 1),
    }.items():  # fmt: skip
        found += [with_("refused", "are possible", **{name: each}) for each in wrong]
        found += [with_("refused", "int is expected", **{name: each}) for each in ("1", 1.0, True, None, [1])]
    stored = [{"name": each, "sha256": known["boot"]} for each in ("root", "work", "vmlinux", "run", "../x", "a/b", "")]
    found += [with_("refused", "is not a name for a file in a jail", files=[each]) for each in stored]
    found += [with_("refused", "each with a name", files=[{"name": "a", "sha256": known["boot"]}] * 2)]
    for console in ("file", "null", "pipe", "socket", "directory", "path", "outside"):
        found.append(with_("refused", "console", (console, "file")))
    for initrd in ("log", "null", "pipe", "socket", "directory", "path", "outside"):
        found.append(with_("refused", "initial RAM disk", ("log", initrd)))
    return [*found, *(with_("refused", "takes 2 descriptors", ("log",) * count) for count in (0, 1, 3))]


def _store(files: str, digest: str) -> list[Row]:
    """A file that is not the owner's own, or is reached by a way that is not."""
    reasons = {
        "link": "neither a file nor", "directory-link/secret": "it is no directory", "fifo": "neither a file nor",
        "vms": "regular file", "../outside/secret": "not a clean path", "./kernel": "not a clean path",
        "/kernel": "not a clean path", "kernel/": "not a clean path", "kernel/x": "no directory",
        "of-root": "belongs to uid 0", "hard-link": "belongs to uid 0", "mounted/secret": "another mount",
        "bound/secret": "another mount",
    }  # fmt: skip
    there = {name: words for name, words in reasons.items() if "/" in name or os.path.lexists(f"{files}/{name}")}
    if not os.path.exists(f"{files}/mounted"):
        there = {name: words for name, words in there.items() if name not in ("mounted/secret", "bound/secret")}
    found = [
        Row("store.fill", {"path": f"{files}/{name}", "sha256": "1" * 64}, "refused", words)
        for name, words in there.items()
    ]
    found += [
        Row("store.fill", {"path": path, "sha256": "1" * 64}, "refused", "is not below|no such file")
        for path in ("/etc/shadow", "/proc/self/mem", "/dev/sda", "kernel", "", "/", "\x01")
    ]
    for wrong in ("", "../" + digest, digest.upper(), digest + "\n", digest[:-1]):
        asked = {"path": f"{files}/kernel", "sha256": wrong}
        found += [Row("store.fill", asked, "refused", "is not a sha256", undo=undo) for undo in (False, True)]
    other = {"path": f"{files}/kernel", "sha256": "1" * 64}
    return [
        *found,
        Row("store.fill", other, "refused", "the content is not"),
        Row("store.fill", other | {"executable": True}, "refused", "there is no 'executable'"),
    ]


def _disks(files: str) -> list[Row]:
    """Files that are no disk, or not one of the caller's; one file as two disks."""
    base, overlay = f"{files}/own-base", f"{files}/own-overlay"
    right: dict[str, Any] = {"vm_id": NOBODY, "base": base, "overlay": overlay, "size": LARGER}

    def snapshot(kind: str, words: str, **changed: Any) -> Row:
        return Row("snapshot.create", right | changed, kind, words)

    strange = {
        f"{files}/link": "neither a file nor", f"{files}/directory-link/secret": "it is no directory",
        f"{files}/fifo": "neither a file nor", f"{files}/vms": "regular file", "/dev/sda": "is not below",
        "/dev/loop0": "is not below", "/etc/shadow": "is not below", f"{files}/../x": "not a clean path",
    }  # fmt: skip
    found = [
        snapshot("refused", words, **{name: path}) for path, words in strange.items() for name in ("base", "overlay")
    ]
    found += [Row("disk.attach", {"vm_id": NOBODY, "file": path}, "refused", words) for path, words in strange.items()]
    found += [snapshot("refused", "is not the size of a disk", size=each) for each in (0, -512, 511, 1 << 62)]
    return [
        *found,
        snapshot("refused", "cannot be two disks", overlay=base),
        snapshot("refused", "cannot be two disks", work=overlay),
        snapshot("refused", "this disk needs", size=LARGER + 512),
        snapshot("refused", "a disk of", size=512),
        snapshot("refused", "begins with something else", overlay=f"{files}/own-junk"),
        Row("disk.attach", {"vm_id": NOBODY, "file": f"{files}/short"}, "refused", "is not the size of a disk"),
        Row("disk.attach", {"vm_id": NOBODY, "file": base, "work": base}, "refused", "cannot be two disks"),
        Row("disk.remove", {"vm_id": NOBODY, "device": "/dev/sda"}, "refused", "there is no 'device'"),
    ]


def _offline() -> list[Row]:
    """A machine without a disk, names that a tool would read as something else, content from this host."""
    found = [
        Row(name, {"vm_id": NOBODY, **more}, "failed", "has no disk attached")
        for name, more in {"snapshot.check": {}, "ext4.read": {"path": "/etc/passwd"}, "ext4.write": {}}.items()
    ]
    paths = ("", "etc/passwd", "/etc/../x", "//", "/a\nquit", "/a\x7f", "/" + "x" * 300, "/" + "x/" * 3000)
    file: dict[str, Any] = {"path": "/a"}

    def write(words: str, **lists: Any) -> Row:
        return Row("ext4.write", {"vm_id": NOBODY, **lists}, "refused", words)

    for path in paths:
        found.append(Row("ext4.read", {"vm_id": NOBODY, "path": path}, "refused", "."))
        found += [write(".", **{name: [{"path": path}]}) for name in ("files", "directories", "removals")]
    return [
        *found,
        write("not from this host", files=[file | {"source": "/etc/shadow"}]),
        write("edits are more than", removals=[{"path": f"/{number}"} for number in range(257)]),
        write("is given twice", removals=[file], files=[file]),
        write("can neither be replaced nor removed", removals=[{"path": "/"}]),
        write("an owner or a mode", owners=[{"path": "/a", "uid": -1, "gid": 0}]),
        write("an owner or a mode", directories=[{"path": "/a", "mode": 1 << 40}]),
        write("no base64", files=[file | {"content": "%"}]),
        write("control characters", files=[file | {"target": "/a\nquit"}]),
    ]


def _network(host: Host) -> list[Row]:
    """Interfaces, addresses, tables and ports that are not the guests'."""
    found = [
        Row("tap.create", {"slot": each}, "refused", "is not a slot") for each in (-1, host.uid_count, 1 << 31)
    ]  # fmt: skip
    found += [Row("tap.create", {"slot": each}, "refused", "int is expected") for each in ("1", "eth9", True, None)]
    found += [Row("tap.create", {"slot": 1, "name": "eth9"}, "refused", "there is no 'name'")]
    found += [Row("tap.create", {"slot": -1}, "refused", "is not the name of a tap", undo=True)]
    if links.show("tap-fc-77") is not None:
        found += [
            Row("tap.create", {"slot": 77}, "refused", "that banger did not make", undo=undo) for undo in (False, True)
        ]  # fmt: skip
    network = host.network.network
    guest: dict[str, Any] = {"tap": "tap-fc-1", "mac": "02:fc:00:00:00:09", "address": str(network[9])}
    wrong: dict[str, Sequence[Any]] = {
        "tap": ("eth9", "lo", "tap-fc-1; flush ruleset", "", "*"),
        "mac": ("ff:ff:ff:ff:ff:ff", "02:FC:00:00:00:09", "", "02:fc:00:00:00:09 }"),
        "address": (str(network[0]), str(network[-1]), str(host.network.ip), "127.0.0.1", "0.0.0.0/0", "1.2.3.4; drop"),
    }
    for operation in ("rules.apply", "rules.standing"):
        for name, values in wrong.items():
            found += [Row(operation, {"guests": [guest | {name: each}]}, "refused", " is ") for each in values]
        found += [
            Row(operation, {"guests": [], "resolver": each}, "refused", "not a port") for each in (22, -1, 65_536)
        ]
        found += [
            Row(operation, {"guests": [guest, guest]}, "refused", "is named twice"),
            Row(operation, {"guests": [guest | {"table": "other"}]}, "refused", "there is no 'table'"),
        ]
    found += [Row("resolver.route", {"port": each}, "refused", "not a port") for each in (0, 53, 1023, 65_536, -1)]
    return [
        *found,
        Row("resolver.route", {"port": 5353, "server": "8.8.8.8"}, "refused", "there is no 'server'"),
    ]
