"""Layers whose bytes are not what their digests say: told apart from images that are broken themselves."""

import gzip
import os
from pathlib import Path

import pytest

from banger import errors
from banger.oci.build import build_image
from tests.digests import named
from tests.guest_images import Tar


def test_a_diff_id_that_lies(tmp_path: Path) -> None:
    for data in (Tar().file("x").bytes(), gzip.compress(Tar().file("x").bytes())):
        source = named(data, tmp_path / "layer", diff_id="sha256:" + "0" * 64)
        with pytest.raises(errors.CorruptBlob, match="diff_id") as caught:
            build_image([source], str(tmp_path / "image"), seed="s")
        assert caught.value.code == "corrupt_blob" and "whoever published it" in caught.value.advice
        assert not (tmp_path / "image").exists()


def test_a_blob_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    archive = Tar().file("x", os.urandom(300_000)).file("y").bytes()
    for whole in (archive, gzip.compress(archive)):
        for change in ("size", "first", "middle", "last", "more"):
            source = named(whole, tmp_path / "layer")
            data = bytearray(whole)
            if change == "size":
                del data[-1:]
            elif change == "more":
                data += bytes(512)  # a tail that inflating would pass over
            else:
                data[{"first": 3, "middle": len(data) // 2, "last": -1}[change]] ^= 1
            (tmp_path / "layer").write_bytes(data)
            with pytest.raises(errors.DamagedBlob) as caught:
                build_image([source], str(tmp_path / "image"), seed="s")
            assert caught.value.data == {"digest": source.digest}
            assert not (tmp_path / "image").exists()


def test_what_is_wrong_with_a_sound_blob_is_the_images_fault(tmp_path: Path) -> None:
    archive = Tar().file("x", os.urandom(50_000)).bytes()
    hostile = Tar().file("../x").bytes() + os.urandom(3 << 20)
    for data, kind in ((gzip.compress(archive)[:-20], errors.CorruptBlob), (hostile, errors.UnsafeLayer)):
        with pytest.raises(kind) as caught:
            build_image([named(data, tmp_path / "layer")], str(tmp_path / "image"), seed="s")
        assert not isinstance(caught.value, errors.DamagedBlob)
