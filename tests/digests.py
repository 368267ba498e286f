"""Layers by the digests that they have, as a registry names them."""

import hashlib
from pathlib import Path
from typing import Any

from banger.oci.layer import LayerSource


def sha256(data: bytes) -> str:
    """The digest of ``data`` in the words of OCI."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def named(data: bytes, path: Path, *, content: bytes | None = None, **changes: object) -> LayerSource:
    """``data``, written to ``path``, as the layer that its digests name, but for ``changes``.

    ``content`` is what it inflates to.
    """
    path.write_bytes(data)
    fields: dict[str, Any] = {"path": str(path), "name": sha256(data), "digest": sha256(data), "size": len(data)}
    if content is not None:
        fields["diff_id"] = sha256(content)
    return LayerSource(**{**fields, **changes})
