"""Network namespaces for the tests of what is done to a host's network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.helper.host import Host
from tests.integration.helper import rig


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return rig.installation(tmp_path)


@pytest.fixture
def inside() -> Iterator[rig.Namespace]:
    """The host: an empty network in which the test itself is."""
    with rig.namespace() as made, made:
        yield made
