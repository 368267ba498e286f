"""What keeps the host from reading machines' disks by itself: a file of udev rules, for ``banger system install``.

A guest writes its own superblocks, partition tables and LVM labels. Without these rules udev would run blkid on them
as root, would activate a volume group that lies in a guest's disk, and would do so again whenever a writer closes the
device (``watch``). The number puts the file behind 10-dm.rules, which names the devices, and before all that probe.
"""

from .grammar import MAPPER_PREFIX, WORK_PREFIX
from .host import Host

PATH = "/etc/udev/rules.d/11-dm-banger.rules"

_DISABLED = ", ".join(
    (
        'ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"',
        'ENV{DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG}="1"',
        'ENV{DM_UDEV_DISABLE_DISK_RULES_FLAG}="1"',
        'ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"',
        'ENV{UDISKS_IGNORE}="1"',
        'ENV{SYSTEMD_READY}="0"',
        'OPTIONS:="nowatch"',
    )
)


def rules(host: Host) -> str:
    """The text of the file."""
    state = "".join(f"[{each}]" if each in "*?[" else each for each in host.state)
    return (
        "# Written by 'banger system install': disks that guests write are not for this host to read.\n"
        'ACTION=="remove", GOTO="banger_end"\n'
        'SUBSYSTEM!="block", GOTO="banger_end"\n'
        f'KERNEL=="dm-*", ATTR{{dm/name}}=="{MAPPER_PREFIX}*|{WORK_PREFIX}*", {_DISABLED}\n'
        f'KERNEL=="loop*", ATTR{{loop/backing_file}}=="{state}/*", {_DISABLED}\n'
        'LABEL="banger_end"\n'
    )
