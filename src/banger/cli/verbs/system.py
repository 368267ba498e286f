"""Rows of the groups ``daemon`` and ``system``, and the verbs that stand alone."""

from banger.cli.verb import JSON, Argument, Group, Verb

DAEMON = Group(
    "daemon",
    "the daemon that machines belong to",
    """\
Every verb starts the daemon of the calling user when it does not run; these are for looking at it and for ending
it. Machines go on without the daemon, and the next one finds them again.""",
    ("banger daemon status", "banger daemon stop"),
    (
        Verb("daemon start", "start the daemon", arguments=(JSON,), examples=("banger daemon start",)),
        Verb(
            "daemon stop",
            "end the daemon; its machines go on",
            examples=("banger daemon stop",),
        ),
        Verb(
            "daemon status",
            "show the daemon",
            description="The exit status is 3 when no daemon runs. It is not started.",
            arguments=(JSON,),
            examples=("banger daemon status --json",),
        ),
    ),
    next=(
        ("banger events", "what the daemon does, as it does it"),
        ("banger system status", "the same for a daemon that is a service of this host"),
    ),
)

SYSTEM = Group(
    "system",
    "banger as a service of this host",
    """\
Installs the daemon as a service that runs as one user, and a small root helper beside it for the few things that need
root: Firecracker in its jail, networks, copy-on-write disks. Without it banger works as well, through QEMU.""",
    ("sudo banger system install --owner alice", "banger system status", "sudo banger system uninstall"),
    (
        Verb(
            "system install",
            "install or upgrade the services",
            description="""\
Copies this banger and what it needs to /usr/local/lib/banger, which is root's, writes the units, and returns when both
services answer; machines that run go on. When a step fails, the host is left as it was. It may be repeated.""",
            arguments=(
                Argument("--owner", "whose machines they are; the caller of sudo when left out", metavar="USER"),
                Argument(
                    "--address",
                    "the host's address in the machines' network; 172.16.0.1/24 when left out",
                    metavar="ADDRESS/BITS",
                ),
                Argument("--force", "allow root to be the owner", kind="flag"),
                JSON,
            ),
            examples=("sudo banger system install --owner alice",),
        ),
        Verb(
            "system uninstall",
            "remove the services; what users have made is kept",
            description="""\
Refused while machines run. Units, programs, the bridge and its rules go; disks and images stay in /var/lib/banger.""",
            arguments=(
                Argument("--purge", "remove machines, images and caches as well", kind="flag"),
                Argument("--force", "stop running machines first", kind="flag"),
                JSON,
            ),
            examples=("sudo banger system uninstall", "sudo banger system uninstall --purge --force"),
        ),
        Verb(
            "system status",
            "show the services",
            description="""\
The exit status is 0 when every part answers, 3 when banger is not installed as a service, and 1 otherwise.""",
            arguments=(JSON,),
            examples=("banger system status",),
        ),
        Verb(
            "system restart",
            "restart the helper and the daemon; machines go on",
            arguments=(JSON,),
            examples=("sudo banger system restart",),
        ),
    ),
    next=(
        ("banger doctor", "whether the host has what the services need, and how to mend it"),
        ("sudo banger firecracker install", "the monitor that installed machines run in"),
        (
            "banger run -d --name web --nat",
            "a machine that reaches the outside; by default, those of the service do not",
        ),
    ),
)

FIRECRACKER = Group(
    "firecracker",
    "the monitor that a system installation runs machines in",
    """\
Firecracker and its jailer are programs of another project. banger uses what is installed, and can install a
release.""",
    ("sudo banger firecracker install",),
    (
        Verb(
            "firecracker install",
            "fetch a release of Firecracker, check it, and install it with its jailer",
            description="""\
The archive is held against a sha256 before anything in it is looked at. Versions that banger has no sha256 of need it
as --sha256. Both programs go to /usr/local/bin, root's; machines that run are not touched.""",
            arguments=(
                Argument("--version", "the release, such as 1.15.1", metavar="VERSION"),
                Argument("--from", "where the archive is, a URL or a file", metavar="URL", complete="file"),
                Argument("--sha256", "the archive's digest", metavar="HEX"),
                JSON,
            ),
            examples=(
                "sudo banger firecracker install",
                "sudo banger firecracker install --from ./firecracker-v1.15.1-x86_64.tgz",
            ),
        ),
    ),
    next=(("banger doctor", "whether guests really run on it here"),),
)

_ALONE = (
    Verb(
        "doctor",
        "check this host, and say how to mend what is missing",
        description="""\
The exit status is 1 when a row says FAIL. It only looks. With --fix it first clears away what is left over, things of
banger's that no record tells of, and says why of each; a disk is never removed, but set aside and named.""",
        arguments=(Argument("--fix", "clear away what is left over", kind="flag"), JSON),
        examples=("banger doctor", "banger doctor --fix", "banger doctor --json"),
    ),
    Verb(
        "df",
        "show what takes space: how large it is said to be, and what it really takes",
        description="""\
Disks are sparse: SIZE is what was promised, ON DISK what is written. A machine's part is what it differs in from its
image; with disks made as clones, blocks that are shared are counted with each. The last line tells how much machines
may still write.""",
        arguments=(JSON,),
        examples=("banger df", "banger df --json"),
        aliases=("system df",),
    ),
    Verb(
        "events",
        "show what changes, as it changes",
        description="""\
Machines that come to another state, and operations that begin or end, a line each until Ctrl-C; with --json a document
a line. A daemon that ends ends this, with status 1.""",
        arguments=(Argument("--json", "print one JSON document a line", kind="flag"),),
        examples=("banger events", "banger events --json"),
    ),
    Verb(
        "ssh-config",
        "let plain ssh, scp, rsync and editors reach machines as NAME.vm",
        description="""\
Prints what ssh has to know. With --install, ~/.ssh/config includes it, by three lines at its beginning; --uninstall
takes them out again. All else in that file stays as it is, and each may be repeated.""",
        arguments=(
            Argument("--install", "include it in ~/.ssh/config", kind="flag"),
            Argument("--uninstall", "take it out of ~/.ssh/config", kind="flag"),
            Argument("--file", "another file than ~/.ssh/config", metavar="FILE", complete="file"),
        ),
        examples=(
            "banger ssh-config --install          # then: ssh web.vm",
            "banger ssh-config >machines.conf     # then: ssh -F machines.conf web.vm",
            "banger ssh-config --uninstall",
        ),
    ),
    Verb("version", "show the version", arguments=(JSON,), examples=("banger version",)),
    Verb(
        "completion",
        "print the completion script of a shell",
        description="Source what it prints, or put it where the shell looks for completions.",
        arguments=(Argument("SHELL", "the shell", choices=("bash", "zsh", "fish")),),
        examples=(
            "source <(banger completion bash)",
            "banger completion fish > ~/.config/fish/completions/banger.fish",
        ),
    ),
)


def _bundle(noun: str) -> "tuple[Argument, ...]":
    """What every bundle is asked for by."""
    return (
        Argument("--name", f"name of the {noun}", metavar="NAME", required=True),
        Argument("--description", "one line about it", metavar="TEXT"),
        Argument("--out", "the file to be made, often NAME.tar.zst", metavar="FILE", required=True, complete="file"),
        JSON,
    )


_INTERNAL = (
    Verb(
        "internal make-bundle",
        "make an image's bundle of a flat archive of a root file system",
        description="""\
Prints the bundle's path, sha256 and size, which an entry of a catalog needs. The same archive gives the same bundle. No
daemon is needed.""",
        arguments=(
            Argument(
                "--rootfs-tar",
                "the archive, compressed or not; - for stdin",
                metavar="FILE",
                required=True,
                complete="file",
            ),
            *_bundle("image"),
            Argument("--distro", "distribution; as the archive says when left out", metavar="NAME"),
            Argument("--arch", "of which machines; amd64 when left out", metavar="ARCH", choices=("amd64", "arm64")),
            Argument("--kernel-ref", "the kernel that its machines boot", metavar="KERNEL"),
            Argument(
                "--size",
                "size of its file system; 1.5 times its content and at least 1G when left out",
                kind="size",
                metavar="SIZE",
            ),
        ),
        examples=("docker export box | banger internal make-bundle --rootfs-tar - --name box --out box.tar.zst",),
        hidden=True,
    ),
    Verb(
        "internal make-kernel-bundle",
        "make a kernel's bundle of a directory that 'banger kernel import' would take",
        arguments=(
            Argument("--from", "the directory", metavar="DIR", required=True, complete="file"),
            *_bundle("kernel"),
        ),
        examples=("banger internal make-kernel-bundle --from ./out --name mine --out mine.tar.zst",),
        hidden=True,
    ),
    Verb(
        "internal ssh-proxy",
        "be the connection under an ssh to a machine",
        arguments=(Argument("HOST", "NAME.vm"),),
        hidden=True,
    ),
    Verb(
        "internal complete",
        "suggest what may follow the words after --, the last of which is unfinished",
        command="optional",
        hidden=True,
    ),
)

INTERNAL = Group(
    "internal",
    "what makes bundles, and what completion asks",
    """\
For those who publish images and kernels as files, and for the shells' completion. No daemon is needed for bundles.""",
    ("docker export box | banger internal make-bundle --rootfs-tar - --name box --out box.tar.zst",),
    _INTERNAL,
    next=(("banger image list --catalog", "what the catalogs have, among which a bundle is entered"),),
    hidden=True,
)

GROUPS = (DAEMON, SYSTEM, FIRECRACKER, INTERNAL)
SINGLE = _ALONE
