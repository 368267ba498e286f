"""What the host's ssh goes by to reach machines: a configuration, and the host keys that it believes.

On disk, beside the installation's own key, each replaced as a whole::

    config          read by ``banger ssh``, and by plain ssh where the user's own configuration includes it
    known_hosts     NAME.vm and its host key, a line for each machine; nothing else is believed

A connection is made by a program of ours (``banger internal ssh-proxy``), so it needs no network and no name server.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping

from banger import errors
from banger.config.settings import Config
from banger.disk.fresh import replacing
from banger.paths import Paths

DOMAIN = "vm"

MOVED = ("BANGER_CONFIG_DIR", "BANGER_STATE_DIR", "BANGER_CACHE_DIR", "BANGER_RUNTIME_DIR", "PYTHONPATH")
"""Variables that say which installation, and which code, this is; another shell may not have them."""

_UNFIT = frozenset('"\\%$*?[]{}\n\r\0')
"""What ssh would not take as it is in the name of a file, in quotation marks or out of them."""


def configuration(paths: Paths, settings: Config, environment: Mapping[str, str] = os.environ) -> str:
    """The file ``config``. Raises `errors.UnsafeDirectory` for a path that ssh's configuration cannot name."""
    key = settings.ssh_key_path or paths.ssh_key
    return f"""\
# Machines of banger, for ssh(1). Made by banger: changes are lost.
Host *.{DOMAIN}
    User root
    ProxyCommand {_proxy(environment)}
    IdentityFile {quoted(key)}
    IdentitiesOnly yes
    HostKeyAlgorithms ssh-ed25519
    UserKnownHostsFile {quoted(paths.known_hosts)}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    ForwardAgent no
    ForwardX11 no
"""


def _proxy(environment: Mapping[str, str]) -> str:
    """The command of a connection; ssh has a shell run it, after putting the host's name in the place of %h."""
    moved = [f"{name}={os.path.abspath(environment[name])}" for name in MOVED if environment.get(name)]
    script = os.path.join(os.path.dirname(sys.executable), "banger")  # which starts sooner, where it is this code's
    installed = "PYTHONPATH" not in environment and os.access(script, os.X_OK)
    command = [script] if installed else [sys.executable, "-P", "-m", "banger.cli"]
    words = [*(["env", *moved] if moved else []), *command, "internal", "ssh-proxy"]
    if any(set(word) & set("\n\r\0") for word in words):
        raise _unfit(sys.executable)
    return f"{shlex.join(words).replace('%', '%%')} %h"


def quoted(path: str) -> str:
    """A path as a word of ssh's configuration. Raises `errors.UnsafeDirectory`."""
    if set(path) & _UNFIT:
        raise _unfit(path)
    return f'"{path}"'


def _unfit(path: str) -> errors.UnsafeDirectory:
    error = errors.UnsafeDirectory(path=repr(path), reason="ssh's configuration cannot name it")
    error.advise("keep banger's files in a directory with a plain name (BANGER_STATE_DIR)")
    return error


def write_configuration(paths: Paths, settings: Config) -> str:
    """Write ``config`` where it is not so already; its text. Raises as `configuration`, `errors.DiskFull`."""
    text = configuration(paths, settings)
    _write(paths.ssh_config, text)
    return text


def write_known_hosts(paths: Paths, keys: Iterable[tuple[str, str]]) -> None:
    """Write ``known_hosts``, of names and public keys. Raises `errors.DiskFull`."""
    _write(paths.known_hosts, "".join(f"{name}.{DOMAIN} {key}\n" for name, key in keys))


def _write(path: str, text: str) -> None:
    data = text.encode()
    try:
        with open(path, "rb") as file:
            if file.read(len(data) + 1) == data:
                return
    except OSError:
        pass  # there is none that can be read: it is made
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError as fault:
        raise errors.from_os(fault, path) from fault
    with replacing(path) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
