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
    staged = listing.staged(source.repository, source.commit)
    written = index.written(os.path.join(source.repository.top, repository.git_path(source.repository.git, "index")))
    alike, skipped = set(), set()
    for name, known in source.known.items():
        there = source.files.get(name)
        if known is not None and known.skipped:
            skipped.add(name)
        elif known is not None and there is not None and index.untouched(known, there, written):
            alike.add(name)
    return sorted((source.known.keys() | source.files.keys() | staged) - (alike - staged) - skipped)
