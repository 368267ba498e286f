"""ssh into real guests: the default image with systemd, and one with an sshd and no init, under the same name."""

import json
import os
import re
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guest_images, rsync_kit
from tests.home import Home
from tests.integration.worst.conftest import stocked_room

pytestmark = pytest.mark.qemu

MACHINE = ("-d", "--name", "web", "--memory", "512M")
SSHD = "/usr/sbin/sshd"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with stocked_room(tmp_path_factory.mktemp("ssh")) as home:
        home.banger("ps", check=True)  # which starts the daemon
        yield home
        home.banger("vm", "delete", *home.banger("ps", "-q", check=True).stdout.split())


def host(home: Home, program: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A program of the host's OpenSSH, as a user runs it whose own configuration includes banger's."""
    argv = [program, "-F", str(home.directory / "ssh-config"), *words]
    return subprocess.run(argv, input=stdin, capture_output=True, env=home.env, timeout=180, check=False)


def included(home: Home) -> None:
    """A user's configuration, which would lead anywhere else."""
    users = home.directory / "ssh-config"
    users.write_text("Host *\n    User nobody\n    ProxyCommand false\n    IdentityFile /no/such/key\n")
    home.banger("ssh-config", "--install", "--file", str(users), check=True)


def host_key(home: Home) -> str:
    return str(json.loads(home.banger("vm", "show", "web", "--json", check=True).stdout)["host_key"])


def private_files(home: Home) -> list[tuple[Path, int]]:
    """Files of the installation with a private key in them, and their modes; images and disks are not looked into."""
    found: list[Path] = []
    for directory, _, names in os.walk(home.directory):
        paths = [Path(directory, name) for name in names]
        read = [each for each in paths if each.suffix not in (".ext4", ".qcow2", ".raw")]
        found += [each for each in read if b"OPENSSH PRIVATE KEY" in each.read_bytes()]
    return [(each, stat.S_IMODE(each.stat().st_mode)) for each in found]


def as_an_editor(room: Home, directory: str, name: str, content: bytes) -> None:
    """An editor's remote mode: a server behind a shell without a terminal, and connections to it by the same way."""
    server = "import http.server as s; s.test(s.SimpleHTTPRequestHandler, port=8321, bind='127.0.0.1')"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["ssh", "-F", str(room.directory / "ssh-config"), "-T", "-L", f"{port}:127.0.0.1:8321", "web.vm", "bash"]
    with subprocess.Popen(argv, env=room.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as editor:
        assert editor.stdin is not None and editor.stdout is not None
        try:
            editor.stdin.write(f'cd {directory} && exec python3 -u -c "{server}" 2>&1\n'.encode())
            editor.stdin.flush()
            assert b"Serving HTTP" in editor.stdout.readline()
            for _ in range(2):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=60) as reply:
                    assert reply.read() == content
        finally:
            editor.terminate()


def test_the_default_image(room: Home, tmp_path: Path) -> None:
    room.banger("run", *MACHINE, "--nat", check=True, timeout=400)
    included(room)
    key = host_key(room)
    assert Path(room.paths.known_hosts).read_text() == f"web.vm {key}\n"
    done = room.banger("ssh", "web", "--", "sh", "-c", 'echo "$0" $SSH_TTY; exit 42', "a  b")
    assert (done.status, done.stdout, done.stderr) == (42, "a  b\n", "")

    modes = "stat -c '%a %U' /etc/ssh/ssh_host_ed25519_key; cat /etc/ssh/ssh_host_ed25519_key.pub; id -un"
    told = host(room, "ssh", "web.vm", modes)
    assert told.stdout.decode().split("\n")[:3] == ["600 root", key, "root"], told.stderr
    for path, mode in private_files(room):
        assert mode & 0o007 == 0 and (mode == 0o600 or path.name == "initrd.cpio"), path

    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(2 << 20))
    assert host(room, "scp", str(sent), "web.vm:/srv/kept").returncode == 0
    batch = f"get /srv/kept {back}\nchmod 600 /srv/kept\n".encode()
    assert host(room, "sftp", "-b", "-", "web.vm", stdin=batch).returncode == 0
    assert back.read_bytes() == sent.read_bytes()
    piped = host(room, "ssh", "web.vm", "cat >/srv/piped; wc -c </srv/piped; exit 3", stdin=sent.read_bytes())
    assert (piped.returncode, piped.stdout) == (3, b"2097152\n")

    source = tmp_path / "site"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_text("by rsync\n")
    remote = ["-e", f"ssh -F {room.directory / 'ssh-config'}", f"--rsync-path={rsync_kit.bring(room, 'web', tmp_path)}"]
    copy = ["rsync", "-a", *remote, f"{source}/", "web.vm:/srv/site/"]
    copied = subprocess.run(copy, env=room.env, capture_output=True, timeout=180, check=False)
    assert copied.returncode == 0, copied.stderr
    assert room.banger("exec", "web", "--", "cat", "/srv/site/deep/file", check=True).stdout == "by rsync\n"
    as_an_editor(room, "/srv/site", "deep/file", b"by rsync\n")

    room.banger("exec", "web", "--", "useradd", "-m", "-s", "/bin/bash", "dev", check=True)
    assert room.banger("ssh", "dev@web", "-q", "--", "id", "-un").stdout == "dev\n"

    wrong = tmp_path / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    wrong.write_text(f"web.vm {(tmp_path / 'other.pub').read_text()}")
    for known, said in ((wrong, b"IDENTIFICATION HAS CHANGED"), ("/dev/null", b"Host key verification failed")):
        refused = host(room, "ssh", "-o", f"UserKnownHostsFile={known}", "web.vm", "true")
        assert refused.returncode == 255 and said in refused.stderr

    room.banger("rm", "web", check=True)
    assert Path(room.paths.known_hosts).read_bytes() == b""
    gone = host(room, "ssh", "web.vm", "true")
    assert gone.returncode == 255 and b"there is no machine named 'web'" in gone.stderr


def test_a_new_machine_of_the_old_name_without_an_init_and_without_a_network(room: Home, tmp_path: Path) -> None:
    bare = guest_images.Tar().file("usr/lib/systemd/.wh.systemd").file("usr/sbin/.wh.init")
    layers = [guest_images.systemd_tar().read_bytes(), bare.bytes()]
    layout = guest_images.write_layout(tmp_path / "layout", layers, config={"User": "daemon", "WorkingDir": "/none"})
    room.banger("image", "pull", layout, "--name", "bare", check=True, timeout=300)
    room.banger("run", *MACHINE, "--image", "bare", check=True, timeout=400)
    included(room)
    assert json.loads(room.banger("vm", "health", "web", "--json", check=True).stdout)["init"] == "agent"
    key = host_key(room)
    alone = room.banger("ssh", "web", "-t", "-t", "--", "echo", "on", "a", "terminal")
    assert alone.status == 0 and "on a terminal" in alone.stdout
    assert host(room, "ssh", "web.vm", "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout.decode().strip() == key

    room.banger("vm", "restart", "web", check=True, timeout=400)
    assert host_key(room) == key and host(room, "ssh", "web.vm", "exit 5").returncode == 5

    room.banger(
        "exec", "-u", "root", "-w", "/", "web", "--", "sh", "-c", "echo Nonsense yes >>/etc/ssh/sshd_config", check=True
    )
    broken = room.banger("ssh", "web", "--", "true")
    assert broken.status == 255 and re.search(r"'sshd' cannot be executed in the guest: .*Nonsense", broken.stderr)
    room.banger("exec", "-u", "root", "-w", "/", "web", "--", "mv", SSHD, f"{SSHD}.away", check=True)
    missing = room.banger("ssh", "web", "--", "true")
    assert missing.status == 255 and "'sshd' was not found in the guest" in missing.stderr
    assert "banger exec -t web -- sh" in missing.stderr

    room.banger("vm", "stop", "web", check=True)
    stopped = room.banger("ssh", "web", "--", "true")
    assert stopped.status == 125 and "'banger vm start web' starts it" in stopped.stderr
