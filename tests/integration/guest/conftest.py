"""The agent's binary, and one that runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.guest.rig import Port, build_agent


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture
def port(binary: Path, tmp_path: Path) -> Iterator[Port]:
    port = Port(binary, tmp_path)
    yield port
    port.close()
