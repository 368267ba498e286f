"""Where banger keeps things: every directory and file name, spelled once.

Four roots. A plain user has the XDG ones; root has the system ones, so that the unprivileged QEMU that root's
daemon starts can reach its own machine without a way through ``/root``. Each root can be moved by an environment
variable (tests, several installations side by side).

=========  ======================  ====================================  ================
root       moved by                plain user                            root
=========  ======================  ====================================  ================
config     BANGER_CONFIG_DIR       $XDG_CONFIG_HOME/banger               /etc/banger
state      BANGER_STATE_DIR        $XDG_STATE_HOME/banger                /var/lib/banger
cache      BANGER_CACHE_DIR        $XDG_CACHE_HOME/banger                /var/cache/banger
runtime    BANGER_RUNTIME_DIR      $XDG_RUNTIME_DIR/banger, or           /run/banger
                                   /tmp/banger-runtime-UID
=========  ======================  ====================================  ================

Where banger is installed as a system service, the record of that (``/etc/banger/install.json``) names its owner. The
owner then has the last column's directories too, except for the configuration; root's commands reach the owner's daemon
there; every other user's installation stays private. Settings in ``/etc/banger/config.toml`` are the defaults of all.

On disk::

    config/  config.toml
             install.json                   in /etc/banger only: the system installation (banger.system.record)
             catalogs/*.toml                names that can be pulled, besides the built-in ones
    state/   banger.db                      the store
             bangerd.log
             root-told                      root has been told what running as root means
             images/ID/                     rootfs.ext4, image.json, work-seed.ext4, work-seed.json
             kernels/NAME/                  bzImage, vmlinux, modules.ext4, initrd.cpio, kernel.json
             builds/NAME.log                what the last build of that name said
             vms/ID/                        disk.qcow2, disk.raw or overlay; work.ext4, the guest's /root;
                                            handles.json, the second record; initrd.cpio, console.log, qemu.log;
                                            metrics.json, what its monitor counted last;
                                            workspace.list, what the last import of a repository brought, and
                                            workspace.next, what one that is under way or broke off was to bring
             set-aside/                     disks of machines that no record tells of; never removed
             ssh/                           id_ed25519, id_ed25519.pub: the installation's own key; never removed;
                                            config and known_hosts, which ssh(1) reaches machines by
             staging/                       work in progress; whatever is here at start is removed
             trusted/                       what the user has agreed to of repositories' .banger.toml; always in the
                                            user's own state directory
    cache/   oci/                           what pulls have downloaded, in OCI image layout: index.json, blobs/,
                                            lock, and pull-*/ and gone-*/ for what comes and goes
             layers/                        what is known of layers that images here hold (banger.oci.index)
             probe/                         what this host's QEMU can do
    runtime/ bangerd.sock, bangerd.lock
             start.lock                     held by the client that is starting the daemon
             vms/ID/                        qmp.sock, agent.sock (short paths: a socket name holds 107 bytes)

Paths are ``str`` here, because a verb's start-up would pay for pathlib.
"""

import os

RECORD = "/etc/banger/install.json"
"""What ``banger system install`` has written down; nobody but root can write it."""

SYSTEM_CONFIG = "/etc/banger/config.toml"
"""Settings for everybody on this host, where the user's own file has none."""

RECORD_LIMIT = 1 << 16

PROJECT = ".banger.toml"
"""What a repository says about the machine that it is worked on in (`banger.config.profile`)."""

SERVICE = "bangerd.service"
"""The unit of the system installation's daemon."""

BUILDER_VARIABLE = "BANGER_BUILDER"
"""Tells the daemon of a system installation where builds are done for it (`banger.oci.debian_client`)."""

SOCKET_PATH_MAX = 107
"""Longest path of a unix socket in bytes: ``sun_path`` less its final NUL (unix(7))."""


def _xdg(variable: str, fallback: str) -> str:
    base = os.environ.get(variable, "")
    if not os.path.isabs(base):  # the XDG base directory specification: a relative value is ignored
        base = os.path.join(os.path.expanduser("~"), fallback)
    return os.path.join(base, "banger")


def _root(override: str, system: str, user: str, has_system: bool) -> str:
    moved = os.environ.get(override)
    if moved:
        return os.path.abspath(moved)
    return system if has_system else user


def installed_owner(record: str = RECORD) -> int | None:
    """Whose the system installation is: a user id, or None where there is no installation.

    Every verb asks, and needs nothing else of the record; so the one number is looked for in the text, because the
    JSON module would cost more than the rest of this module. A record that others than root can write says nothing.
    """
    try:
        descriptor = os.open(record, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _owner_in(os.read(descriptor, RECORD_LIMIT)) if _is_roots(os.fstat(descriptor)) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _is_roots(found: os.stat_result) -> bool:
    """Whether only root can have written a file."""
    return found.st_uid == 0 and not found.st_mode & 0o022


def _owner_in(record: bytes) -> int | None:
    after = record.partition(b'"owner_uid":')[2].lstrip()
    digits = after[: len(after) - len(after.lstrip(b"0123456789"))]
    return int(digits) if 0 < len(digits) < 11 else None


def project_file(directory: str) -> str | None:
    """The file that speaks for a directory: at the top of its git repository, or in the directory itself where it is in
    none. None where there is none."""
    here = current = os.path.realpath(directory)
    while not os.path.lexists(os.path.join(current, ".git")):
        above = os.path.dirname(current)
        if above == current:
            current = here
            break
        current = above
    path = os.path.join(current, PROJECT)
    return path if os.path.lexists(path) else None


class Paths:
    """The four roots of one installation and the names below them.

    ``owner`` is the user id whose daemon they belong to where that is the system installation's, else None.
    """

    def __init__(self, config: str, state: str, cache: str, runtime: str, *, owner: int | None = None) -> None:
        self.config = config
        self.state = state
        self.cache = cache
        self.runtime = runtime
        self.owner = owner

    @classmethod
    def from_environment(cls) -> "Paths":
        """The roots of the calling user."""
        uid = os.geteuid()
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        user_runtime = os.path.join(runtime, "banger") if os.path.isabs(runtime) else f"/tmp/banger-runtime-{uid}"  # noqa: S108
        moved = bool(os.environ.get("BANGER_RUNTIME_DIR"))  # another daemon's, whoever has installed what
        owner = None if moved else installed_owner(RECORD)
        owner = owner if uid in (0, owner) else None
        system = uid == 0 or owner is not None
        return cls(
            config=_root("BANGER_CONFIG_DIR", "/etc/banger", _xdg("XDG_CONFIG_HOME", ".config"), uid == 0),
            state=_root("BANGER_STATE_DIR", "/var/lib/banger", _xdg("XDG_STATE_HOME", ".local/state"), system),
            cache=_root("BANGER_CACHE_DIR", "/var/cache/banger", _xdg("XDG_CACHE_HOME", ".cache"), system),
            runtime=_root("BANGER_RUNTIME_DIR", "/run/banger", user_runtime, system),
            owner=owner,
        )

    @property
    def system(self) -> bool:
        """Whether the daemon is the system's service, which nobody but systemd starts."""
        return self.owner is not None

    @property
    def config_file(self) -> str:
        return os.path.join(self.config, "config.toml")

    @property
    def config_files(self) -> tuple[str, ...]:
        """Where settings are, those that win last. A moved configuration stands alone."""
        alone = bool(os.environ.get("BANGER_CONFIG_DIR")) or self.config_file == SYSTEM_CONFIG
        return (self.config_file,) if alone else (SYSTEM_CONFIG, self.config_file)

    @property
    def catalogs(self) -> str:
        return os.path.join(self.config, "catalogs")

    @property
    def database(self) -> str:
        return os.path.join(self.state, "banger.db")

    @property
    def trusted(self) -> str:
        """The calling user's own, whoever the daemon belongs to."""
        moved = os.environ.get("BANGER_STATE_DIR")
        return os.path.join(moved or _xdg("XDG_STATE_HOME", ".local/state"), "trusted")

    @property
    def daemon_log(self) -> str:
        """Where the daemon's log is: a file, or what shows it."""
        return "journalctl -u bangerd" if self.system else os.path.join(self.state, "bangerd.log")

    @property
    def root_told(self) -> str:
        return os.path.join(self.state, "root-told")

    @property
    def socket(self) -> str:
        return os.path.join(self.runtime, "bangerd.sock")

    @property
    def lock(self) -> str:
        return os.path.join(self.runtime, "bangerd.lock")

    @property
    def start_lock(self) -> str:
        return os.path.join(self.runtime, "start.lock")

    @property
    def images(self) -> str:
        return f"{self.state}/images"

    @property
    def kernels(self) -> str:
        return f"{self.state}/kernels"

    @property
    def vms(self) -> str:
        return f"{self.state}/vms"

    @property
    def set_aside(self) -> str:
        return os.path.join(self.state, "set-aside")

    @property
    def ssh_key(self) -> str:
        return os.path.join(self.state, "ssh", "id_ed25519")

    @property
    def ssh_config(self) -> str:
        return os.path.join(self.state, "ssh", "config")

    @property
    def known_hosts(self) -> str:
        return os.path.join(self.state, "ssh", "known_hosts")

    @property
    def builds(self) -> str:
        return os.path.join(self.state, "builds")

    @property
    def staging(self) -> str:
        return os.path.join(self.state, "staging")

    @property
    def oci_cache(self) -> str:
        return os.path.join(self.cache, "oci")

    @property
    def layer_indexes(self) -> str:
        return os.path.join(self.cache, "layers")

    @property
    def probe_cache(self) -> str:
        return os.path.join(self.cache, "probe")

    def image(self, image_id: str) -> str:
        return f"{self.state}/images/{image_id}"

    def kernel(self, name: str) -> str:
        return f"{self.state}/kernels/{name}"

    def vm(self, vm_id: str) -> str:
        return f"{self.state}/vms/{vm_id}"

    def vm_runtime(self, vm_id: str) -> str:
        return f"{self.runtime}/vms/{vm_id}"
