"""What a verb loads before it answers: the budget that keeps `banger vm list` quick, on a machine of any speed."""

import json
import subprocess
import sys

from tests.home import Home

HEAVY = {
    "asyncio", "dataclasses", "email", "http", "http.client", "importlib.metadata", "inspect", "logging", "msgspec",
    "pathlib", "shutil", "ssl", "subprocess", "tempfile", "threading", "typing", "typing_extensions", "urllib",
    "uvicorn", "starlette", "websockets",
}  # fmt: skip
MOST = 100


def loaded_modules(home: Home, code: str) -> set[str]:
    """The modules of a Python that has run ``code``."""
    program = f"import sys\n{code}\nprint('|'.join(sys.modules), file=sys.stderr)"
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, env=home.env, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stderr.splitlines()[-1].split("|"))


def test_vm_list_loads_little(home: Home) -> None:
    home.banger("daemon", "start", check=True)
    bare = loaded_modules(home, "pass")
    verb = loaded_modules(home, "from banger.cli.main import main; main(['vm', 'list'])")
    assert not (verb - bare) & HEAVY
    assert len(verb - bare) <= MOST


def test_completion_loads_little(home: Home) -> None:
    home.banger("daemon", "start", check=True)
    bare = loaded_modules(home, "pass")
    verb = loaded_modules(home, "from banger.cli.main import main; main(['internal', 'complete', '--', 'rm', ''])")
    assert not (verb - bare) & HEAVY
    assert len(verb - bare) <= MOST


def test_help_needs_no_daemon(home: Home) -> None:
    assert home.banger("help", check=True).stdout.startswith("Usage: banger")
    assert home.banger("vm", "run", "--help", check=True).stdout.startswith("Usage: banger vm run")
    assert json.loads(home.banger("daemon", "status", "--json").stdout)["state"] == "stopped"
