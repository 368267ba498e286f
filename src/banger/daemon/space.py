"""What banger's files take, counted when somebody asks: machine by machine, image by image, and the rest.

The order is that of counting: a file that is reached twice is counted with the first.
"""

import os

from msgspec.structs import replace

from banger.api.space import Item, Space
from banger.daemon.services import Services
from banger.disk.taken import Meter


def items(services: Services) -> list[tuple[Item, str]]:
    """Everything to be counted, with its path; what it takes is yet to be filled in."""
    paths = services.paths
    machines = services.vms.list()
    known = {each.id for each in machines}
    found = [
        (Item(kind="machine", name=each.name, virtual=each.disk_size + each.work_disk_size, real=0), paths.vm(each.id))
        for each in machines
    ]
    found += [
        (Item(kind="image", name=each.name, virtual=each.size, real=0), paths.image(each.id))
        for each in services.images.list()
    ]
    found += [
        (Item(kind="kernel", name=each.name, real=0), paths.kernel(each.name)) for each in services.kernels.list()
    ]
    present = sorted(os.listdir(paths.vms)) if os.path.isdir(paths.vms) else []
    unknown = [name for name in present if name not in known]
    found += [(Item(kind="unknown", name=name, real=0), os.path.join(paths.vms, name)) for name in unknown]
    rest = (Item(kind="other", real=0), paths.state)  # last: all that is not counted yet
    return [*found, (Item(kind="staging", real=0), paths.staging), (Item(kind="cache", real=0), paths.cache), rest]


def measure(found: list[tuple[Item, str]], state: str) -> Space:
    """Count; takes as long as looking at every file does."""
    meter = Meter()
    counted = [replace(item, real=meter.taken(path)) for item, path in found]
    disk = os.statvfs(state)
    return Space(
        items=counted,
        path=state,
        size=disk.f_blocks * disk.f_frsize,
        free=disk.f_bavail * disk.f_frsize,
        promised=sum(max(0, (each.virtual or 0) - each.real) for each in counted if each.kind == "machine"),
    )
