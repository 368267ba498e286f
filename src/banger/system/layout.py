"""Where the system installation is on a host: every file and directory that ``system install`` makes.

=================================  ==========  ======================================================================
/usr/local/lib/banger/venv         root  0755  banger and what it needs, as a virtual environment of root's
/usr/local/lib/banger/bangerd-root.pyz  0644   the helper, one file
/usr/local/bin/banger, bangerd                 links into the environment
/usr/local/share/                              links to manual pages and completion scripts (`banger.system.shared`)
/etc/systemd/system/               root  0644  the units (`banger.system.units`)
/etc/modules-load.d/banger.conf    root  0644  the kernel's modules that machines need
/etc/udev/rules.d/11-dm-banger.rules 0644      what keeps the host from reading guests' disks (the helper's words)
/etc/banger/install.json           root  0644  the record (`banger.system.record`)
/var/lib/banger, /var/cache/banger owner 0700  the owner's; monitors are other users and have no business there
/var/lib/banger-root               root  0711  store/ and jails/ (0711): on one file system, for hard links join them
=================================  ==========  ======================================================================

The daemon and root's own commands run from a copy that is root's: an environment in the owner's home would let the
owner's account change what root runs.
"""

import os

LIBRARY = "/usr/local/lib/banger"
VENV = f"{LIBRARY}/venv"
HELPER = f"{LIBRARY}/bangerd-root.pyz"
PYTHON = "/usr/bin/python3"
"""The helper's interpreter: the distribution's."""
DAEMON = f"{VENV}/bin/bangerd"
COMMAND = f"{VENV}/bin/banger"
LINKS = {"/usr/local/bin/banger": COMMAND, "/usr/local/bin/bangerd": DAEMON}
CONFIG = "/etc/banger"
CACHE = "/var/cache/banger"
MODULES_FILE = "/etc/modules-load.d/banger.conf"

MODULES = ("loop", "dm_mod", "dm_snapshot", "tun", "bridge", "nf_tables", "vhost_vsock")
"""What the services may not load by themselves; one that a kernel has built in, or lacks, is no fault."""


def below(root: str, path: str) -> str:
    """``path`` on the host whose file systems are below ``root``."""
    return os.path.join(root, path.lstrip("/"))
