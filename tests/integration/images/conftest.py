"""An installation whose machines are processes that stand in a machine's place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, stocked


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with stocked(tmp_path / "home") as made:
        yield made
