"""What a name of a catalog stands for: the changes' spec, completed by the entry; and the catalog as clients see it."""

from collections.abc import Collection

import msgspec

from banger import errors
from banger.api.catalog import CatalogEntry
from banger.bundles.receive import Source
from banger.catalog.entry import Bundle, Entry, Packages, Pinned
from banger.catalog.reader import Catalogs, Listed
from banger.images import sources
from banger.images.making import Wanted
from banger.oci import reference


def complete(wanted: Wanted, name: str, entry: Entry, mirror: str | None) -> Wanted:
    """``wanted`` as the catalog's entry ``name`` says.

    Raises `errors.WrongPlatform`, `errors.UsageError`, `errors.InvalidReference`.
    """
    here = sources.architecture()
    if entry.arch != here:
        raise errors.WrongPlatform(reference=name, found=entry.arch, wanted=here)
    if isinstance(entry, Bundle):
        if wanted.size:
            raise errors.UsageError(detail=f"{name} is a bundle and has its size; give a machine a larger disk instead")
        bundle = Source(entry.url, entry.sha256, entry.size)
        return msgspec.structs.replace(wanted, kind="bundle", source=entry.url, bundle=bundle, kernel=entry.kernel)
    if isinstance(entry, Pinned):
        source = str(reference.parse(entry.reference))
        return msgspec.structs.replace(wanted, kind="oci", source=source, kernel=entry.kernel)
    assert isinstance(entry, Packages)
    return msgspec.structs.replace(
        wanted, kind="debian", source=f"debian:{entry.suite}", suite=entry.suite, packages=tuple(entry.packages),
        mirror=mirror, kernel=entry.kernel,
    )  # fmt: skip


def check_faults(catalogs: Catalogs, text: str) -> None:
    """A plain word that no catalog has may be in one that is broken; only a registry's name is surely not.

    Raises `errors.BadSetting`.
    """
    faults = catalogs.faults()
    if faults and not {":", "/", "@"}.intersection(text):
        raise faults[0]


def listed(found: Listed, present: Collection[str]) -> CatalogEntry:
    """An entry as clients see it."""
    entry = found.entry
    return CatalogEntry(
        name=found.name,
        noun="image" if found.noun == "image" else "kernel",
        kind=entry.kind,
        description=entry.description,
        distribution=entry.distribution,
        architecture=entry.arch,
        kernel=entry.kernel,
        size=entry.size if isinstance(entry, Bundle) else None,
        present=found.name in present,
        source=found.source,
    )
