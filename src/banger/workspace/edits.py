"""What a working tree has that its commit has not: edits, deletions, and untracked files that go along."""

import os

from banger.workspace import index, listing, repository
from banger.workspace.snapshot import Snapshot


def edited(source: Snapshot) -> list[bytes]:
    """The names that are not as the commit has them, or may not be: no file is read for it."""
    if source.commit is None:
        return sorted(source.files)
    if source.blobs is not None:
        return []
    wanted = listing.committed(source.repository, source.commit)
    path = os.path.join(source.repository.top, repository.git_path(source.repository.git, "index"))
    same = index.clean(wanted, source.known, source.files, index.written(path))
    skipped = {name for name, each in source.known.items() if each is not None and each.skipped}
    return sorted((wanted.keys() | source.files.keys()) - same.keys() - skipped)
