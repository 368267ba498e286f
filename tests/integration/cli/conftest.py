"""An installation with a kernel and a busybox image, made once for the tests of this directory."""

from collections.abc import Iterator

import pytest

from tests import guest_images
from tests.home import Home, make_home, passable


@pytest.fixture(scope="session")
def shared_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with passable(tmp_path_factory.mktemp("room")) as directory, make_home(directory) as home:
        home.banger("kernel", "pull", check=True, timeout=600)
        reference = guest_images.busybox(directory / "layout")
        home.banger("image", "pull", reference, "--name", "busybox", check=True, timeout=300)
        yield home


@pytest.fixture
def room(shared_room: Home) -> Iterator[Home]:
    """The shared installation; no machine may be left at the end of a test."""
    yield shared_room
    left = shared_room.banger("ps", "-q", check=True).stdout.split()
    if left:
        shared_room.banger("rm", *left)
    assert not left, f"machines left: {left}"
