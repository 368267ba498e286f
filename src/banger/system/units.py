"""The units of systemd, as text: rendered from the install record and from what the host has, and nothing else.

=======================  ==============================================================================================
banger.slice             where machines are counted
banger-machines.service  the delegated cgroup, with a leaf for each machine; outside both services, so that neither's
                         restart or death reaches a machine. One tiny process holds it, in a cgroup of its own, because
                         a cgroup with controlled leaves can hold no process itself
bangerd-root.socket      the helper's socket, the owner's and 0600; requests wait in it while the helper is restarted
bangerd-root.service     the root helper
bangerd.service          the daemon, as the owner
banger-shutdown.service  does nothing until the host goes down; then it powers the machines off in order, as the owner,
                         while the two services are there to do it
bangerd-build.socket     where the daemon has Debian's packages built
bangerd-build@.service   one build, as the owner; newuidmap works there
=======================  ==============================================================================================

Invariant: what stops or restarts any of these units but the last ends no machine (``KillMode=process``), and no
directory that machines use goes with it (``RuntimeDirectoryPreserve=yes``).

A comment in a unit says why a restriction has the value that it has; the doctor compares what systemd has loaded with
`PROMISED`, and docs/explanation/privileges.md is held against the same table.
"""

from collections.abc import Mapping

from banger.paths import BUILDER_VARIABLE, SERVICE
from banger.system.layout import CACHE, COMMAND, DAEMON, HELPER, PYTHON, VENV
from banger.system.record import Record

DIRECTORY = "/etc/systemd/system"
SLICE = "banger.slice"
MACHINES = "banger-machines.service"
HELPER_SOCKET = "bangerd-root.socket"
HELPER_SERVICE = "bangerd-root.service"
DAEMON_SERVICE = SERVICE
BUILD_SOCKET = "bangerd-build.socket"
BUILD_SERVICE = "bangerd-build@.service"
SHUTDOWN = "banger-shutdown.service"
BUILDER = "/run/banger-build.sock"
"""Where builds are asked for; not in the daemon's directory, which is made when the daemon starts."""

CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
)  # fmt: skip
"""The helper's bounding set. CAP_SYS_PTRACE reads which program and which root directory a monitor has, by which it is
told from every other process; without it the kernel shows neither of another user's process."""

PROMISED: Mapping[str, Mapping[str, str]] = {
    DAEMON_SERVICE: {
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "read-only", "RestrictSUIDSGID": "yes",
        "LockPersonality": "yes", "CapabilityBoundingSet": "", "KillMode": "process",
    },
    HELPER_SERVICE: {
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "RestrictSUIDSGID": "yes",
        "LockPersonality": "yes", "CapabilityBoundingSet": " ".join(CAPABILITIES).lower(), "KillMode": "process",
        "SendSIGKILL": "no",
    },
    MACHINES: {
        "NoNewPrivileges": "yes", "KillMode": "process", "SendSIGKILL": "no",
        "DelegateControllers": "cpu io memory pids",
    },
}  # fmt: skip
"""What systemd must say of each unit, in the words of ``systemctl show``."""

NAMES = (SLICE, MACHINES, HELPER_SOCKET, HELPER_SERVICE, BUILD_SOCKET, BUILD_SERVICE, DAEMON_SERVICE, SHUTDOWN)

ENABLED = (MACHINES, HELPER_SOCKET, BUILD_SOCKET, DAEMON_SERVICE, SHUTDOWN)
"""What the host starts; the rest follows."""

RUNNING = (*ENABLED, HELPER_SERVICE)
"""What must be active at any time."""

_COMMON = """\
NoNewPrivileges=yes
ProtectSystem=strict
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictRealtime=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
DevicePolicy=closed
KeyringMode=private
UMask=0077
"""


def render(record: Record, *, groups: tuple[str, ...] = ()) -> dict[str, str]:
    """Every unit by its file name. ``groups`` are those of the host's that give a plain user its /dev/kvm."""
    return {
        SLICE: _slice(),
        MACHINES: _machines(record),
        HELPER_SOCKET: _helper_socket(record),
        HELPER_SERVICE: _helper(record),
        BUILD_SOCKET: _build_socket(record),
        BUILD_SERVICE: _build(record),
        DAEMON_SERVICE: _daemon(record, groups),
        SHUTDOWN: _shutdown(record),
    }


def _slice() -> str:
    return """\
[Unit]
Description=banger: machines
Before=slices.target

[Slice]
CPUAccounting=yes
MemoryAccounting=yes
IOAccounting=yes
TasksAccounting=yes
"""


def _machines(record: Record) -> str:
    return f"""\
[Unit]
Description=banger: the control group of machines
After=systemd-modules-load.service

[Service]
Slice={SLICE}
# These controllers and no more: where a guest had a cpuset of its own, the kernel would let nobody without CAP_SYS_NICE
# move its own threads to it.
Delegate=cpu io memory pids
# With machines in the leaves below, systemd cannot put a new holder here; they and what is started beside them do not
# need one, and it comes back when they have ended.
Restart=always
RestartSec=5
# The kernel removes no cgroup that has one below it; and there must be no process in this one.
ExecStart=/bin/sh -ec 'cd {record.cgroup}; mkdir -p holder; echo $$$$ >holder/cgroup.procs; exec sleep infinity'
KillMode=process
SendSIGKILL=no
OOMPolicy=continue
TasksMax=infinity
{_COMMON}\
# All that follows holds for the monitors in the leaves too, whatever else they are kept from: devices by these names
# alone, and no sockets of the internet. The jailer makes the nodes, and is in the leaf by then.
DeviceAllow=/dev/kvm rwm
DeviceAllow=/dev/net/tun rwm
DeviceAllow=/dev/userfaultfd rwm
DeviceAllow=/dev/urandom rwm
DeviceAllow=block-loop rw
DeviceAllow=block-device-mapper rw
IPAddressDeny=any
CapabilityBoundingSet=
ProtectHome=yes
ProtectKernelTunables=yes
PrivateTmp=yes
PrivateNetwork=yes
ProtectProc=invisible
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictAddressFamilies=none
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


def _helper_socket(record: Record) -> str:
    return f"""\
[Unit]
Description=banger: the root helper's socket

[Socket]
ListenStream={record.socket}
SocketUser={record.owner_uid}
SocketGroup={record.owner_gid}
SocketMode=0600
DirectoryMode=0711
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def _helper(record: Record) -> str:
    return f"""\
[Unit]
Description=banger: the root helper
Requires={HELPER_SOCKET}
After={HELPER_SOCKET} {MACHINES} systemd-modules-load.service
Wants={MACHINES}

[Service]
Type=notify
ExecStart={PYTHON} -IS {HELPER}
Restart=on-failure
RestartSec=1
# A request that is being performed outlives a stop; so do monitors, which are in cgroups of their own.
KillMode=process
SendSIGKILL=no
OOMPolicy=continue
RuntimeDirectory=banger-root
RuntimeDirectoryMode=0711
RuntimeDirectoryPreserve=yes
# One mount for the store and the jails: hard links do not cross mounts, even of one file system.
ReadWritePaths={record.private} {record.state}
{_COMMON}\
ProtectHome=yes
PrivateTmp=yes
# Its children are monitors: their devices are made in their jails and opened there.
DeviceAllow=/dev/kvm rwm
DeviceAllow=/dev/net/tun rwm
DeviceAllow=/dev/loop-control rw
DeviceAllow=/dev/mapper/control rw
DeviceAllow=/dev/userfaultfd rwm
DeviceAllow=/dev/urandom rwm
DeviceAllow=block-loop rwm
DeviceAllow=block-device-mapper rwm
CapabilityBoundingSet={" ".join(CAPABILITIES)}
# Forwarding is switched on for the bridge; all other settings of the kernel stay read-only.
ProtectKernelTunables=yes
ReadWritePaths=/proc/sys/net
# It makes the machines' leaves.
ProtectControlGroups=no
# A jail is a mount namespace; no other kind is needed.
RestrictNamespaces=mnt
# The kernel is told of links and rules by netlink; nothing here speaks to the internet.
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
IPAddressDeny=any
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service @mount seccomp mincore
"""


def _build_socket(record: Record) -> str:
    return f"""\
[Unit]
Description=banger: where images of Debian's packages are asked for

[Socket]
ListenStream={BUILDER}
SocketUser={record.owner_uid}
SocketGroup={record.owner_gid}
SocketMode=0600
RemoveOnStop=yes
Accept=yes
MaxConnections=8

[Install]
WantedBy=sockets.target
"""


def _build(record: Record) -> str:
    return f"""\
[Unit]
Description=banger: a build of {record.owner}'s
CollectMode=inactive-or-failed

[Service]
User={record.owner}
ExecStart={VENV}/bin/python3 -I -m banger.oci.debian_service
StandardInput=socket
StandardOutput=journal
StandardError=journal
WorkingDirectory=/
UMask=0077
# mmdebstrap works in a user namespace: newuidmap must be able to give it the owner's subordinate ids, and it must be
# able to mount /proc there. So what would imply NoNewPrivileges=, or would cover a part of /proc, cannot be had here.
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_FOWNER
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={record.state} {CACHE} /tmp /var/tmp
DevicePolicy=closed
KeyringMode=private
"""


def _daemon(record: Record, groups: tuple[str, ...]) -> str:
    return f"""\
[Unit]
Description=banger: the daemon of {record.owner}
After=network.target {HELPER_SERVICE} {MACHINES}
Wants={HELPER_SERVICE} {MACHINES} {BUILD_SOCKET}

[Service]
Type=notify
# What an earlier daemon left is seen to before it serves, and takes as long as it takes.
TimeoutStartSec=infinity
User={record.owner}
{f"SupplementaryGroups={' '.join(groups)}" if groups else "# There is no group for /dev/kvm on this host."}
ExecStart={DAEMON}
Restart=on-failure
RestartSec=1
# A mistake in its configuration is still there a second later.
RestartPreventExitStatus=2
WorkingDirectory=/
Environment={BUILDER_VARIABLE}={BUILDER}
# Machines on QEMU are children of the daemon's, and stay when it ends.
KillMode=process
SendSIGKILL=no
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=524288
RuntimeDirectory=banger
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
# What the owner names in /tmp is seen there; images are unpacked in /var/tmp.
ReadWritePaths={record.state} {CACHE} /tmp /var/tmp
{_COMMON}\
ProtectHome=read-only
DeviceAllow=/dev/kvm rw
DeviceAllow=/dev/vhost-vsock rw
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_VSOCK
# QEMU's emulator writes the code that it runs: MemoryDenyWriteExecute= cannot be had here.
SystemCallFilter=@system-service seccomp mincore

[Install]
WantedBy=multi-user.target
"""


def _shutdown(record: Record) -> str:
    return f"""\
[Unit]
Description=banger: machines are powered off before the host is
# What is started later is stopped earlier: the services are there when machines are powered off.
After={DAEMON_SERVICE} {HELPER_SERVICE} {MACHINES}

[Service]
Type=oneshot
RemainAfterExit=yes
User={record.owner}
ExecStart=/bin/true
ExecStop=/bin/sh -c '{COMMAND} ps --quiet | xargs --no-run-if-empty {COMMAND} vm stop --timeout 60s'
TimeoutStopSec=90
{_COMMON}\
ProtectHome=read-only
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateNetwork=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""
