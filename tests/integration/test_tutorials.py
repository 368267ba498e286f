"""What the tutorials show is what happens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.home import TREE, Home
from tests.transcript import steps

ON_A_HOST = "operator"
"""What needs a host with services: `tests/smoke/test_tutorial.py` runs it."""
TUTORIALS = sorted(path for path in (TREE / "docs" / "tutorial").glob("*.md") if path.stem != ON_A_HOST)


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial(page: Path, stocked: Home) -> None:
    tools = stocked.directory / "bin"
    tools.mkdir()
    for name, words in {"banger": "-m banger.cli", "python": ""}.items():
        command = tools / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        command.chmod(0o755)
    env = {**stocked.env, "PATH": f"{tools}{os.pathsep}{stocked.env['PATH']}"}
    for step in steps(page):
        done = subprocess.run(
            ["sh", "-c", step.command],
            cwd=stocked.directory,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert step.matches(done.stdout), f"$ {step.command}\n{done.stdout}{done.stderr}\n-- expected:\n{step.expected}"
