"""What changes of machines take of the host, in the words of `banger.admission`."""

import contextlib
import os
from functools import partial

from banger import errors
from banger.admission.judgement import Machine, Wish
from banger.admission.ledger import written
from banger.images.record import ImageRecord
from banger.kernels.kernel import INITRD
from banger.paths import Paths
from banger.vms.parts import Parts
from banger.vms.plans import Changed, Created
from banger.vms.record import Machines, VmRecord, shape


def machines(known: Machines, paths: Paths) -> list[Machine]:
    """All that are on record."""
    return [
        Machine(
            id=each.id,
            name="" if each.worker_of else each.name,
            memory=each.memory,
            running=each.handle is not None,
            virtual=each.disk_size + each.work_disk_size,
            written=partial(written, paths.vm(each.id)),
        )
        for each in known.all()
    ]


def of(parts: Parts, record: VmRecord, spec: object) -> Wish | None:
    """What a change that makes or starts a machine takes; None where nothing is to be done."""
    if isinstance(spec, Changed):
        return None if spec.already else starting(parts, record)
    if not isinstance(spec, Created) or spec.already:
        return None
    image = _image(parts, record)
    defaults = parts.settings.vm_defaults
    root = max(record.disk_size or defaults.disk_size, image.size if image is not None else 0)
    return Wish(
        record.id,
        disk=_copied(parts, image) + (_initrd(parts, record, image) if spec.start else 0),
        place=parts.paths.vm(record.id),
        machine=record.id,
        name=record.name,
        memory=record.memory if spec.start else 0,
        virtual=root + (record.work_disk_size or defaults.work_disk_size),
    )


def starting(parts: Parts, record: VmRecord) -> Wish:
    """What the start of a machine takes.

    It may use the reserve: to start a machine and tidy up in it is a way to make room.
    """
    shaped = shape(record)
    before, after = (each.disk_size + each.work_disk_size for each in (record, shaped))
    return Wish(
        record.id,
        disk=_initrd(parts, record, _image(parts, record)),
        reserved=False,
        machine=record.id,
        memory=shaped.memory,
        virtual=max(0, after - written(parts.paths.vm(record.id))) if after > before else 0,
    )


def _image(parts: Parts, record: VmRecord) -> ImageRecord | None:
    """The machine's image, if it is here."""
    with contextlib.suppress(errors.BangerError):
        return parts.images.get(record.image_id) if record.image_id else parts.images.expect(record.image)
    return None


def _copied(parts: Parts, image: ImageRecord | None) -> int:
    """What a whole copy of the image takes, where the settings ask for one."""
    if image is None or parts.settings.root_strategy != "copy":
        return 0
    with contextlib.suppress(OSError):
        return os.stat(parts.images.rootfs(image)).st_blocks * 512
    return 0


def _initrd(parts: Parts, record: VmRecord, image: ImageRecord | None) -> int:
    """What the initrd takes, of which every start makes one; nothing where the kernel is not here yet."""
    name = record.kernel or (image.kernel if image is not None else "") or parts.kernels.default()
    with contextlib.suppress(OSError):
        return os.path.getsize(os.path.join(parts.paths.kernel(name), INITRD))
    return 0
