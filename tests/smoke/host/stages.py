"""The stages that scenarios begin from, each made out of the one before it."""

import tempfile
from pathlib import Path

from banger.system.layout import VENV
from banger.system.units import DAEMON_SERVICE
from tests.home import TREE
from tests.matrix import jailed, mortal
from tests.smoke.host.box import Host, Stage
from tests.smoke.host.image import OWNER

INSTALL = ("/opt/banger/bin/banger", "system", "install", "--owner", OWNER)


CONFIG = 'default_image = "busybox"\n'
"""The administrator's settings: the default image is one that the box can have."""


def _install(host: Host) -> None:
    host.run("mkdir /etc/banger && cat > /etc/banger/config.toml", stdin=CONFIG.encode())
    host.run(INSTALL, timeout=900)


def stock(host: Host) -> None:
    """The kernel as a pull would have left it, and an image by a pull."""
    release = host.run("jq -r .name /kit/kernel/kernel.json").stdout.strip()
    target = f"/var/lib/banger/kernels/{release}"
    host.run(
        f"mkdir -p {target} && cp --sparse=always /kit/kernel/* {target}/ && chown -R {OWNER}: /var/lib/banger/kernels",
        timeout=120,
    )
    host.banger("image", "pull", "oci:/kit/images/busybox:latest", "--name", "busybox", timeout=900)


def _serve(host: Host) -> None:
    host.banger("run", "--detach", "--name", "one", "--image", "busybox", timeout=180)


MATRIX = "/srv/matrix"
"""Where the box has the programs of the crash matrix."""
PYTHON = f"{VENV}/bin/python3"
MATRIX_ENV = {"PYTHONPATH": MATRIX, "PYTHONDONTWRITEBYTECODE": "1"}

PROGRAMS = ("*.py", "matrix/*.py")

DROP_IN = f"""\
[Unit]
StartLimitIntervalSec=0

[Service]
ExecStart=
ExecStart={PYTHON} -m tests.matrix.mortal
Environment=PYTHONPATH={MATRIX} PYTHONDONTWRITEBYTECODE=1 {mortal.VARIABLE}={jailed.AIM}
RuntimeDirectory={jailed.RUN.removeprefix("/run/")}
"""

AS_PULLED = """\
cd /var/lib/banger/kernels
mv * debian-cloud
sed -i '0,/"name": "[^"]*"/s//"name": "debian-cloud"/' debian-cloud/kernel.json
"""
"""The kernel under the name that a pull by that name gives it."""


def _make_mortal(host: Host) -> None:
    """A daemon that can meet its end at an instant, and all that is made with the first machine."""
    with tempfile.TemporaryDirectory() as scratch:
        for pattern in PROGRAMS:
            for path in (TREE / "tests").glob(pattern):
                target = Path(scratch) / path.relative_to(TREE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        host.put(Path(scratch), MATRIX)
        (Path(scratch) / "matrix.conf").write_text(DROP_IN)
        host.run(f"chmod -R a+rX {MATRIX}; mkdir /etc/systemd/system/{DAEMON_SERVICE}.d")
        host.put(Path(scratch) / "matrix.conf", f"/etc/systemd/system/{DAEMON_SERVICE}.d/matrix.conf")
    host.run(AS_PULLED + f"systemctl daemon-reload; systemctl restart {DAEMON_SERVICE}")
    host.run([PYTHON, "-m", "tests.matrix.jailed"], env=MATRIX_ENV, timeout=300)


INSTALLED = Stage("installed", _install)
STOCKED = Stage("stocked", stock, INSTALLED)
SERVING = Stage("serving", _serve, STOCKED)
MORTAL = Stage("mortal", _make_mortal, STOCKED)
