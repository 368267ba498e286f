"""What a name of a user's own catalog becomes, kind by kind."""

from pathlib import Path

import pytest

from banger import errors
from banger.catalog.reader import Catalogs
from banger.images import choosing, sources
from banger.images.making import Wanted

DIGEST = "0" * 64
OWN = f"""\
[image.tools]
kind = "debian"
suite = "trixie"
packages = ["git", "make"]
kernel = "own"

[image.plain]
kind = "debian"
suite = "bookworm"

[image.foreign]
kind = "debian"
suite = "bookworm"
arch = "ARCH"

[image.box]
kind = "bundle"
url = "https://example.org/box"
sha256 = "{DIGEST}"
size = 7
"""


@pytest.fixture
def catalogs(tmp_path: Path) -> Catalogs:
    other = {"amd64": "arm64"}.get(sources.architecture(), "amd64")
    (tmp_path / "own.toml").write_text(OWN.replace("ARCH", other))
    found = Catalogs(str(tmp_path))
    assert not found.faults()
    return found


def complete(catalogs: Catalogs, name: str, size: int = 0, mirror: str | None = None) -> Wanted:
    entry = catalogs.image(name)
    assert entry is not None
    plain = Wanted(id="1", name="mine", kind="oci", source="", size=size)
    return choosing.complete(plain, name, entry, mirror)


def test_a_suite_is_built_of_its_packages_from_the_mirror_of_the_settings(catalogs: Catalogs) -> None:
    wanted = complete(catalogs, "tools", size=1 << 30, mirror="http://mirror.example/debian")
    assert (wanted.kind, wanted.source, wanted.suite) == ("debian", "debian:trixie", "trixie")
    assert (wanted.packages, wanted.mirror) == (("git", "make"), "http://mirror.example/debian")
    assert (wanted.name, wanted.kernel, wanted.size) == ("mine", "own", 1 << 30)
    assert complete(catalogs, "plain").packages == ()


def test_what_is_for_another_architecture_is_refused(catalogs: Catalogs) -> None:
    with pytest.raises(errors.WrongPlatform, match="foreign"):
        complete(catalogs, "foreign")


def test_a_bundle_has_its_own_size(catalogs: Catalogs) -> None:
    wanted = complete(catalogs, "box")
    assert wanted.kind == "bundle" and wanted.bundle is not None and wanted.bundle.sha256 == DIGEST
    with pytest.raises(errors.UsageError, match="has its size"):
        complete(catalogs, "box", size=1 << 30)
