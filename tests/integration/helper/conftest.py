"""Network namespaces for the tests of what is done to a host's network, and installations for those of jails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper.host import Host
from tests.integration.helper import rig
from tests.jails import Scene, make_scene


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return rig.installation(tmp_path)


@pytest.fixture
def inside() -> Iterator[rig.Namespace]:
    """The host: an empty network in which the test itself is."""
    with rig.namespace() as made, made:
        yield made


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """An installation with a real jailer, nothing of which is left."""
    with make_scene(monkeypatch) as made:
        yield made
