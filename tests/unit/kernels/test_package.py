"""How a metapackage leads to the packages of a kernel."""

from pathlib import Path

import pytest

from banger.kernels import package


def test_debians_metapackage() -> None:
    record = "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-49-cloud-amd64\n"
    assert package.dependencies(record) == ["linux-image-6.1.0-49-cloud-amd64"]


def test_ubuntus_modules_are_in_packages_of_their_own() -> None:
    meta = "Depends: linux-image-6.8.0-60-generic, linux-modules-extra-6.8.0-60-generic\n"
    assert package.dependencies(meta) == ["linux-image-6.8.0-60-generic", "linux-modules-extra-6.8.0-60-generic"]
    image = "Depends: kmod, linux-base (>= 4.5ubuntu1~16.04.1), linux-modules-6.8.0-60-generic\n"
    assert package.dependencies(image) == ["linux-modules-6.8.0-60-generic"]


def test_other_packages_are_not_followed() -> None:
    record = (
        "Depends: kmod, initramfs-tools | linux-initramfs-tool, linux-image-generic\nSuggests: linux-image-6.1.0-1\n"
    )
    assert package.dependencies(record) == []


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("ID=debian\nVERSION_ID=\"12\"\n", "debian"),
        ("ID=ubuntu\nID_LIKE=debian\n", "ubuntu"),
        ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "ubuntu"),
        ("ID=fedora\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_family_of_a_distribution(tmp_path: Path, text: str, family: str | None) -> None:
    path = tmp_path / "os-release"
    path.write_text(text)
    assert package._family(package._os_release(str(path))) == family


def test_a_host_without_os_release_has_no_family(tmp_path: Path) -> None:
    assert package._family(package._os_release(str(tmp_path / "gone"))) is None
