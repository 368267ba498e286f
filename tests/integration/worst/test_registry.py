"""What a registry can do wrong, as the command line tells it: message, hint, status, and that nothing is left.

`image pull` ends with the failure's own status. `run` ends with 125, as all failures of banger's own do where a guest
command's status is expected.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guest_images
from tests.home import Ended, Home
from tests.integration.worst.conftest import record_count
from tests.registry import Registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as serving:
        yield serving


@pytest.fixture
def image(registry: Registry, tmp_path: Path) -> str:
    """A repository of this test's own, with content of its own."""
    layer = guest_images.Tar().file("random", os.urandom(200_000)).bytes()
    layout = guest_images.write_layout(tmp_path / "layout", [layer])
    return registry.push(layout, f"worst/{tmp_path.name.lower()}:1")


def layer_blob(registry: Registry, reference: str) -> Path:
    """The file that holds the image's only layer: the larger one of its two blobs, of which the other is the config."""
    repository = reference.partition("/")[2].rpartition(":")[0]
    links = registry.root / "docker/registry/v2/repositories" / repository / "_layers/sha256"
    return max((registry.blob(f"sha256:{link.name}") for link in links.iterdir()), key=lambda path: path.stat().st_size)


def refused(home: Home, reference: str, status: int, said: str, hint: str) -> None:
    """Both verbs say the same, each with its status, and leave nothing."""
    pulled = home.banger("image", "pull", reference)
    assert_told(pulled, status, said, hint)
    ran = home.banger("run", "--rm", "--image", reference, "--", "true")
    assert_told(ran, 125, said, hint)
    assert home.banger("image", "list", "-q", check=True).stdout == ""
    assert home.banger("ps", "-q", check=True).stdout == ""
    assert (record_count(home, "images"), record_count(home, "vms")) == (0, 0)
    for directory in (home.paths.staging, home.paths.images, home.paths.vms):
        assert not os.path.isdir(directory) or os.listdir(directory) == []


def assert_told(ended: Ended, status: int, said: str, hint: str) -> None:
    assert (ended.status, ended.stdout) == (status, ""), ended.stderr
    lines = ended.stderr.splitlines()
    (told,) = (number for number, line in enumerate(lines) if line.startswith("banger: "))
    assert said in lines[told]
    assert hint in "\n".join(lines[told + 1 :])
    assert "Traceback" not in ended.stderr


def test_an_image_that_is_not_there(home: Home, registry: Registry) -> None:
    refused(home, registry.reference("worst/absent:1"), 1, "there is no such image or tag", "")


def test_a_registry_that_is_down(home: Home, tmp_path: Path) -> None:
    with Registry(tmp_path) as ended:
        reference = ended.reference("worst/image:1")
    refused(home, reference, 1, "connection refused", "")


def test_a_blob_that_breaks_off(home: Home, registry: Registry, image: str) -> None:
    blob = layer_blob(registry, image)
    blob.write_bytes(blob.read_bytes()[:1000])
    refused(home, image, 1, "what arrived is not what was promised", "pull again")


def test_a_blob_that_is_not_what_its_digest_says(home: Home, registry: Registry, image: str) -> None:
    blob = layer_blob(registry, image)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    assert hashlib.sha256(content).hexdigest() not in str(blob)
    refused(home, image, 1, "what arrived is not what was promised", "pull again")


def test_an_image_for_another_machine(home: Home, registry: Registry, tmp_path: Path) -> None:
    layer = guest_images.Tar().file("file", b"x").bytes()
    layout = guest_images.write_layout(tmp_path / "layout", [layer], architecture="s390x")
    reference = registry.push(layout, "worst/foreign:1")
    refused(home, reference, 1, "is for linux/s390x, not for linux/amd64", "pick a tag that is built for")


def test_a_name_that_is_neither_an_image_nor_a_reference(home: Home) -> None:
    refused(home, "No Such Image", 2, "is not an image reference", "try a name from 'banger image list'")
