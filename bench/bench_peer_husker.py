"""Against husker 0.4.52 on the same host: import from a registry, from `run` to the first output, exec.

Both have the same Firecracker, kernel, image and disk. Theirs runs as root, without a jail; ours in its jail. The host
is the box of the smoke tests, whose file system is ext4: it has no reflinks, and husker copies the image's whole file
for each machine; what that copy takes alone is told with the figure.

The peer comes from PyPI, held against a hash. Its guest needs modules to reach its disk, and gets them by an initrd of
a kernel of ours, in which a line of shell takes the place of our loader.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests import registry
from tests.smoke.host import inputs, stages
from tests.smoke.host.box import Host, running

from banger.kernels import cpio
from bench.measure import Finding, Place, compare, median

STOCKED = False
ROUNDS = 3
EXECS = 10
PEER = ("husker==0.4.52", "605488d17e4626a3ef6e6e3a0db98e78b87b71e7bd39e930025cf33439b5b046")
"""The peer's wheel, and its sha256."""

HERE = Path(__file__).resolve().parent / "host"
THERE, PYTHON = "/srv/bench", "/opt/banger/bin/python"
REGISTRY = "127.0.0.1:5000"
REFERENCE = f"{REGISTRY}/busybox:latest"
LOCAL = f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'
INIT = b"""\
#!/bin/busybox sh
alias b=/bin/busybox
b mount -t devtmpfs dev /dev; b mount -t proc proc /proc
b cat /banger/modules /banger/modules.vsock | while read m; do b insmod $m; done
for a in $(b cat /proc/cmdline); do case $a in init=*) init=${a#init=};; esac; done
b mkdir -p /new; while ! b mount -t ext4 -o noatime /dev/vda /new 2>/dev/null; do b sleep 0.02; done
b umount /proc; exec /bin/busybox switch_root /new ${init:-/sbin/init}
"""


def measure(place: Place) -> list[Finding]:
    with running(print) as host:
        host.enter(stages.STOCKED)
        host.put(HERE, THERE)
        serve(host, place.scratch)
        times: dict[str, list[float]] = {}

        def add(name: str, *seconds: float) -> None:
            times.setdefault(name, []).extend(seconds)

        for number in range(ROUNDS + 1):
            peer_round(host, add, f"p{number}")
            our_round(host, add, f"o{number}")
            if not number:
                times.clear()  # what is done once: bridges, stores, caches
        add("copy", *copies(host))
    first = compare("husker: from run to the first output", times, "peer first", "our first", "at least", 2.5)
    return [
        first._replace(
            detail={**first.detail, "of the peer's, copying the image alone": round(median(times["copy"]), 2)}
        ),
        compare("husker: import from a registry", times, "peer import", "our import", "at least", 4),
        compare("husker: exec by the command", times, "peer exec", "our exec", "at least", 1),
        compare("husker: exec by the API", times, "peer api", "our api", "at least", 1),
    ]


def copies(host: Host) -> list[float]:
    """What the peer's copy of an image takes alone, on this file system."""
    host.run(f"husker image import-oci {REFERENCE} --name kept", timeout=300)
    listed = host.run("find / -xdev -name '*.ext4' -path '*husker*' -size +1M").stdout.split()
    return [there(host, f"cp {listed[0]} /srv/copy; rm /srv/copy", user="root") for _ in range(ROUNDS)]


def serve(host: Host, scratch: Path) -> None:
    """A registry with the image, the peer's daemon, and what its guests boot."""
    requirement, digest = PEER
    (scratch / "peer.txt").write_text(f"{requirement} --hash=sha256:{digest}\n")
    inputs.pip("download", "--no-deps", "--only-binary", ":all:", "--python-version", "3.12", "--require-hashes",
               "--dest", str(scratch), "--requirement", str(scratch / "peer.txt"))  # fmt: skip
    (wheel,) = scratch.glob("husker-*.whl")
    peer = scratch / "peer"
    peer.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("/scripts/husker"))
        (peer / "husker").write_bytes(archive.read(member))
    (peer / "husker").chmod(0o755)
    (peer / "registry.yml").write_text(registry.CONFIG.format(root="/srv/registry", port=5000))
    entries = [cpio.regular("init", INIT, 0o755), cpio.directory("bin"), cpio.directory("proc")]
    entries.append(cpio.regular("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755))
    (peer / "init.cpio").write_bytes(cpio.archive(entries))
    host.put(peer, "/srv/peer", timeout=300)
    host.run("cat /kit/kernel/initrd.cpio /srv/peer/init.cpio >/srv/peer/initrd; cp /srv/peer/husker /usr/local/bin/")
    host.run("systemd-run --quiet --unit=registry docker-registry serve /srv/peer/registry.yml")
    host.run("systemd-run --quiet --unit=husker --setenv=HOME=/root husker daemon")
    host.until(f"curl -sf http://{REGISTRY}/v2/ && curl -sf http://127.0.0.1:7777/v1/health", timeout=60)
    host.run(f"skopeo copy --dest-tls-verify=false oci:/kit/images/busybox:latest docker://{REFERENCE}", timeout=120)
    host.run(["tee", "/etc/containers/registries.conf.d/local.conf"], stdin=LOCAL.encode())


Add = Callable[..., None]


def peer_round(host: Host, add: Add, name: str) -> None:
    """An import, a machine to its first output, and commands in it."""
    boot = "--kernel /kit/kernel/vmlinux --initrd /srv/peer/initrd --memory 128"
    add("peer import", there(host, f"husker image import-oci {REFERENCE} --name {name}", user="root"))
    add("peer first", there(host, f"husker run {name} --name {name} {boot} && husker wait {name}"
                                  f" && husker exec {name} -- echo ready", user="root"))  # fmt: skip
    add("peer exec", *(there(host, f"husker exec {name} -- true", user="root") for _ in range(EXECS)))
    add("peer api", *execs(host, "husker", name, "root"))
    host.run(f"husker destroy --yes {name}; husker image delete --yes {name}", timeout=120)


def our_round(host: Host, add: Add, name: str) -> None:
    """The same; the machine of the first output is one for a command of its own, which `run` can do alone."""
    host.banger("image", "cache", "prune")
    add("our import", there(host, f"banger image pull docker://{REFERENCE} --name {name}"))
    add("our first", first_output(host, f"banger run --rm --image {name} --memory 128M -- echo ready"))
    host.banger("run", "--detach", "--name", name, "--image", name, "--memory", "128M", timeout=180)
    add("our exec", *(there(host, f"banger exec {name} -- true") for _ in range(EXECS)))
    add("our api", *execs(host, "banger", name, "owner"))
    host.banger("rm", name)
    host.banger("image", "delete", name)


def first_output(host: Host, line: str) -> float:
    """The seconds from a command's start to its first output, in the box."""
    return float(host.run(f"{PYTHON} {THERE}/first_output.py {line}", user="owner", timeout=300).stdout)


def there(host: Host, line: str, user: str = "owner") -> float:
    """The seconds that a line of shell takes in the box."""
    said = host.run(f"TIMEFORMAT=%R; set -e; time {{ {line}; }} >/dev/null 2>/dev/null", user=user, timeout=400).stderr
    return float(said.splitlines()[-1])


def execs(host: Host, whose: str, name: str, user: str) -> list[float]:
    done = host.run([PYTHON, f"{THERE}/execs.py", whose, name, str(EXECS)], user=user, timeout=200)
    found: list[float] = json.loads(done.stdout)
    return found
