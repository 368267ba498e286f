"""What a reference means right now: which manifest, known by which digests, of how many bytes.

One request for the raw document. An index is resolved to the manifest of the wanted platform, so that the copy can
name a digest: a tag that moves meanwhile does not matter. As skopeo does, an entry without a variant is preferred, and
then the variant that every machine of the architecture has.
"""

import hashlib
import os
from typing import Annotated

import msgspec

from banger import errors
from banger.log import printable
from banger.oci import manifest, skopeo
from banger.oci.cache import Cache
from banger.oci.reference import Reference

_UNASKED = ("containers-storage", "docker-daemon", "oci-archive", "sif", "tarball")
"""Transports that are not asked first: most convert or unpack everything before they can say anything, and would do so
twice; containers-storage tells the manifest of the image as it once was, with other blobs than it has now."""

_VARIANTS = {"arm64": ("", "v8")}
_INDEX_LIMIT = 4096


class Wanted(msgspec.Struct, frozen=True):
    """What is to be copied. ``image`` is its manifest at the source, None where that does not tell the blobs' sizes."""

    source: str
    """As skopeo wants it; by digest where the transport has such."""
    digests: tuple[str, ...] = ()
    """By which the source knows it, its manifest's last."""
    image: manifest.Manifest | None = None

    @property
    def blobs(self) -> tuple[manifest.Descriptor, ...] | None:
        """What the manifest names."""
        if self.image is None:
            return None
        return tuple({each.digest: each for each in (self.image.config, *self.image.layers)}.values())


class _Platform(msgspec.Struct, frozen=True):
    architecture: manifest.Text = ""
    os: manifest.Text = ""
    variant: manifest.Text = ""

    def __str__(self) -> str:
        return printable("/".join(filter(None, (self.os, self.architecture, self.variant))), 80)


class _Listed(msgspec.Struct, frozen=True):
    digest: manifest.Digest
    platform: _Platform | None = None


class _Document(msgspec.Struct, frozen=True):
    """A manifest of any kind, or an index of them."""

    manifests: Annotated[list[_Listed], msgspec.Meta(max_length=_INDEX_LIMIT)] | None = None
    config: manifest.Descriptor | None = None
    layers: Annotated[list[manifest.Descriptor], msgspec.Meta(max_length=manifest.LAYER_LIMIT)] | None = None


class _Named(msgspec.Struct, frozen=True):
    digest: manifest.Text = ""


class _Layout(msgspec.Struct, frozen=True):
    """The index of a layout on disk."""

    manifests: Annotated[list[_Named], msgspec.Meta(max_length=_INDEX_LIMIT)]


async def resolve(reference: Reference, platform: tuple[str, str], cache: Cache) -> Wanted:
    """Ask the source. Raises `errors.SourceUnavailable`, `errors.WrongPlatform`, `errors.CorruptBlob`."""
    if reference.transport in _UNASKED:
        return Wanted(reference.skopeo)
    data = await _raw(reference, reference.skopeo, platform, cache)
    digests: tuple[str, ...] = (_digest(data),)
    document = _decoded(data, str(reference))
    source = reference.skopeo
    layout = reference.rest.partition(":")[0] if reference.transport == "oci" else ""
    if layout:
        _check_named(layout, digests[0])
    if document.manifests is not None:
        picked = _pick(document.manifests, reference, platform)
        digests = (*digests, picked)
        if layout:
            _check_blob(layout, picked)
        if reference.transport != "docker" or cache.find([picked], platform) is not None:
            return Wanted(reference.at(picked) if reference.transport == "docker" else source, digests)
        source = reference.at(picked)
        data = await _raw(reference, source, platform, cache)
        if _digest(data) != picked:
            raise errors.CorruptBlob(digest=picked, reason="its bytes are not what its digest says")
        document = _decoded(data, picked)
    if document.config is None or document.layers is None:  # of the first schema, whose digest is not its bytes'
        return Wanted(source)
    if reference.transport == "docker" and not reference.digest:
        source = reference.at(digests[-1])
    return Wanted(source, digests, manifest.Manifest(document.config, document.layers))


def _decoded(data: bytes, name: str) -> _Document:
    """A document that is one thing: of one that is two, others who know its digest may see the other image."""
    document = manifest.decode(data, _Document, name)
    if document.manifests is not None and (document.config is not None or document.layers is not None):
        raise errors.CorruptBlob(digest=name, reason="it is an index and a manifest at once")
    return document


async def _raw(reference: Reference, source: str, platform: tuple[str, str], cache: Cache) -> bytes:
    patience = skopeo.PATIENCE if reference.transport == "docker" else None
    try:
        result = await skopeo.run(["inspect", "--raw", *skopeo.tls(reference), source], timeout=patience)
    except errors.TimedOut:
        raise skopeo.silence(reference).error from None
    if result.status != 0:
        raise skopeo.complaint(result.stderr, reference, platform, cache.directory).error
    return result.stdout


def _pick(listed: list[_Listed], reference: Reference, platform: tuple[str, str]) -> str:
    """The digest of the manifest for a platform. Raises `errors.WrongPlatform` with those that there are."""
    known = [(each.platform, each.digest) for each in listed if each.platform is not None]
    for variant in _VARIANTS.get(platform[1], ("",)):
        for found, digest in known:
            if (found.os, found.architecture, found.variant) == (*platform, variant):
                return digest
    there = sorted({str(each) for each, _ in known if each.os != "unknown"})
    raise errors.WrongPlatform(
        reference=str(reference), found=", ".join(there[:20]) or "no platform at all", wanted="/".join(platform)
    )


def _check_named(layout: str, digest: str) -> None:
    """Whether a layout's index names a document of these bytes: skopeo goes by file names there and does not look."""
    data = manifest.read_document(os.path.join(layout, "index.json"), None)
    if digest not in [each.digest for each in manifest.decode(data, _Layout, "index.json").manifests]:
        raise errors.CorruptBlob(digest=digest, reason="the layout's index names no manifest with these bytes")


def _check_blob(layout: str, digest: str) -> None:
    """Whether a manifest in a layout is what its name says."""
    data = manifest.read_document(os.path.join(layout, "blobs", *digest.split(":")), None)
    if _digest(data) != digest:
        raise errors.CorruptBlob(digest=digest, reason="its bytes are not what its digest says")


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
