"""Which helper this is: in the archive, the sha256 of its sources, which `banger.privileged.archive` writes here."""

DIGEST = ""
