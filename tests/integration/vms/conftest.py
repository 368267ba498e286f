"""An installation whose machines are processes that stand in a machine's place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    try:
        made.stock()
        yield made
    finally:
        made.close()
