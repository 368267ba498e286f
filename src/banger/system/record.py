"""The install record: what ``banger system install`` was told and has decided, for those who come after it.

On disk: /etc/banger/install.json, root's, 0644, one flat JSON object: the fields of the helper's `Host`, and those of
`Record` besides. The helper reads it for what it allows, every verb for whose installation it is
(`banger.paths.installed_owner`), the next install for what to keep. There is one record, so there is one owner.
"""

import dataclasses
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from banger import errors
from banger.paths import RECORD
from banger.privileged.installation import Host

LARGEST = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Record(Host):
    """The helper's `Host`, and what it need not know."""

    owner: str
    """The owner's name."""
    home: str
    version: str
    """Of the banger that was installed."""
    installed_at: str
    """When, in UTC (RFC 3339)."""
    shared: Sequence[str] = ()
    """The directories for manual pages and completion scripts that were made for them (`banger.system.shared`)."""

    def encode(self) -> bytes:
        """The file."""
        return json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n"


def read(root: str = "/") -> Record | None:
    """The record of the host whose file systems are below ``root``; None where banger is not installed.

    Raises `errors.InstallRefused` for a record that cannot be trusted or understood.
    """
    path = os.path.join(root, RECORD.lstrip("/"))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.stat(root).st_uid) or found.st_mode & 0o022:
            raise _refused(path, "it is not a file that only root can write")
        content = file.read(LARGEST)
    try:
        values = json.loads(content)
        known = {each.name for each in dataclasses.fields(Record)}
        return Record(**{name: value for name, value in values.items() if name in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise _refused(path, str(error)) from None


def _refused(path: str, reason: str) -> errors.InstallRefused:
    error = errors.InstallRefused(reason=f"the install record {path} cannot be used: {reason}")
    error.advise(f"look at it; 'sudo rm {path}' and another 'sudo banger system install' begin anew")
    return error
