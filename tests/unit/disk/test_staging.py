"""What is left in the staging area, by name and by age."""

import os
from pathlib import Path

from banger.disk import staging


def test_pieces_are_told_by_age_and_name(tmp_path: Path) -> None:
    for name in ("image-1", "image-2", "kernel-1"):
        (tmp_path / name).mkdir()
    ages = sorted(os.lstat(tmp_path / name).st_ctime for name in os.listdir(tmp_path))
    assert staging.found(str(tmp_path), ages[0]) == []
    assert [os.path.basename(each) for each in staging.found(str(tmp_path), prefix="image-")] == ["image-1", "image-2"]
    assert len(staging.found(str(tmp_path), ages[-1] + 1)) == 3
    assert staging.found(str(tmp_path / "none")) == []


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    theirs, place = tmp_path / "theirs", tmp_path / "staging"
    for each in (theirs, place):
        each.mkdir()
    (theirs / "file").touch()
    (place / "image-link").symlink_to(theirs)
    (place / "image-file").touch()
    (place / "image-tree").mkdir()
    (place / "kernel-1").mkdir()
    staging.sweep(str(place), "image-")
    assert os.listdir(place) == ["kernel-1"] and (theirs / "file").exists()
