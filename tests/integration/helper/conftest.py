"""A scene of jails for a test."""

from collections.abc import Iterator

import pytest

from tests.jails import Scene, make_scene


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """An installation with a real jailer, nothing of which is left."""
    with make_scene(monkeypatch) as made:
        yield made
