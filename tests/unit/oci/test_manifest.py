"""Hostile documents of an image."""

import hashlib
from pathlib import Path

import pytest

from banger import errors
from banger.oci import manifest

DIGEST = "sha256:" + "0" * 64
DESCRIPTOR = f'{{"digest": "{DIGEST}", "size": 1, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}}'


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{", '{"config": 1, "layers": []}', "[" * 100_000, f'{{"config": {DESCRIPTOR}, "layers": 5}}',
        f'{{"config": {DESCRIPTOR}, "layers": [{",".join([DESCRIPTOR] * 513)}]}}',
        f'{{"config": {DESCRIPTOR.replace("0" * 64, "../../etc/passwd")}, "layers": []}}',
        f'{{"config": {DESCRIPTOR.replace("1,", "-1,")}, "layers": []}}',
        f'{{"config": {DESCRIPTOR.replace("1,", "1e300,")}, "layers": []}}',
    ],
)  # fmt: skip
def test_what_is_no_manifest(text: str) -> None:
    with pytest.raises(errors.CorruptBlob) as caught:
        manifest.decode(text.encode(), manifest.Manifest, DIGEST)
    assert caught.value.message.isprintable()


def parsed(media_type: str, diff_ids: int) -> tuple[manifest.Manifest, manifest.Config]:
    layer = manifest.Descriptor(DIGEST, 1, media_type)
    config = manifest.Config("amd64", "linux", manifest.RootFilesystem([DIGEST] * diff_ids))
    return manifest.Manifest(manifest.Descriptor(DIGEST, 1), [layer]), config


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)  # fmt: skip
def test_layers_that_are_known(media_type: str) -> None:
    manifest.check_layers(*parsed(media_type, 1))


@pytest.mark.parametrize(
    ("media_type", "diff_ids"),
    [
        ("application/vnd.oci.image.layer.v1.tar+gzip", 0),
        ("application/vnd.oci.image.layer.v1.tar+gzip", 2),
        ("application/wasm", 1),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", 1),
        ("", 1),
    ],
)
def test_layers_that_are_not_what_they_should_be(media_type: str, diff_ids: int) -> None:
    with pytest.raises(errors.CorruptBlob):
        manifest.check_layers(*parsed(media_type, diff_ids))


def test_a_document_is_bounded_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(b"{}")
    right = manifest.Descriptor("sha256:" + hashlib.sha256(b"{}").hexdigest(), 2)
    assert manifest.read_document(str(path), right) == b"{}"
    with pytest.raises(errors.CorruptBlob, match="not what its digest says"):
        manifest.read_document(str(path), manifest.Descriptor(DIGEST, 2))
    path.write_bytes(b" " * (manifest.DOCUMENT_LIMIT + 1))
    with pytest.raises(errors.CorruptBlob, match="too large"):
        manifest.read_document(str(path), right)
