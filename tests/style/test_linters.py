"""The checkers are tests: what they say is what a reviewer would have to say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kept import build_cache

TREE = Path(__file__).resolve().parents[2]
CHECKED = [name for name in ("src", "tests", "scripts", "bench", "guest-agent", "netguard") if (TREE / name).is_dir()]
SPELLED = [name for name in (*CHECKED, "docs", "Makefile") if (TREE / name).exists()]
TYPED = ["src", "tests", "bench"]


def cache(name: str) -> str:
    """A directory for a checker's cache; the tree itself may be read-only."""
    return str(build_cache() / name)


COMMANDS = {
    "lint": ["ruff", "check", "--cache-dir", cache("ruff"), *CHECKED],
    "format": ["ruff", "format", "--check", "--cache-dir", cache("ruff"), *CHECKED],
    "types": ["mypy", "--strict", "--cache-dir", cache("mypy"), *TYPED],
    "types of scripts": ["mypy", "--strict", "--cache-dir", cache("mypy-scripts"), "scripts"],
    "spelling": ["codespell_lib", *SPELLED, *sorted(path.name for path in TREE.glob("*.md"))],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", COMMANDS)
def test_checker(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *COMMANDS[name]], cwd=TREE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_layers() -> None:
    """Imports go down the floors that pyproject.toml draws."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": str(TREE / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
