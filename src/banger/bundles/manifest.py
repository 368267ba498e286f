"""``manifest.json``: what a bundle says of itself. Written by its maker, so its words are bounded and checked.

Members that are not known here are passed over; a greater ``version`` means that they must not be.
"""

from typing import Annotated, Literal

import msgspec

from banger import errors
from banger.log import printable

VERSION = 1
LIMIT = 64 << 10
"""Most bytes of a manifest."""

ARCHITECTURES = {"amd64": "amd64", "x86_64": "amd64", "arm64": "arm64", "aarch64": "arm64"}
"""The spellings of the architectures that machines have, and ours of them."""

Kind = Literal["image", "kernel"]
_Word = Annotated[str, msgspec.Meta(max_length=128)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``size`` and ``sha256`` are those of an image's ``rootfs.ext4``, or of the kernel's own file."""

    version: Annotated[int, msgspec.Meta(ge=1)] = VERSION
    name: _Word
    arch: _Word
    distro: _Word = ""
    kernel_ref: _Word = ""
    """The kernel that machines of an image are to boot; empty for the host's default."""
    assets: Annotated[str, msgspec.Meta(pattern="^(sha256:[0-9a-f]{64})?$")] = ""
    """Digest of the guest's part of banger in an image; empty when it has none."""
    description: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    size: Annotated[int, msgspec.Meta(ge=0, le=1 << 46)] = 0
    sha256: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""


def decode(data: bytes, bundle: str) -> Manifest:
    """Raises `errors.BadBundle`; ``bundle`` is where it came from."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise errors.BadBundle(
            bundle=bundle, reason=f"its manifest is not understood: {printable(str(fault))}"
        ) from None
    if manifest.version > VERSION:
        reason = f"its manifest is of version {manifest.version}, and this banger knows {VERSION}"
        raise errors.BadBundle(bundle=bundle, reason=reason)
    if manifest.arch not in ARCHITECTURES:
        raise errors.BadBundle(bundle=bundle, reason=f"it is for {printable(manifest.arch, 40)!r}")
    return msgspec.structs.replace(manifest, arch=ARCHITECTURES[manifest.arch])


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
