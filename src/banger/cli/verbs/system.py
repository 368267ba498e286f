"""Rows of the group ``daemon``, and the verbs that stand alone."""

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
)

SINGLE = (
    Verb(
        "doctor",
        "check this host, and say how to mend what is missing",
        description="The exit status is 1 when a row says FAIL.",
        arguments=(JSON,),
        examples=("banger doctor",),
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

_BUNDLE = (
    Argument("--name", "name of the image or kernel", metavar="NAME", required=True),
    Argument("--description", "one line about it", metavar="TEXT"),
    Argument("--out", "the file to be made (NAME.tar.zst)", metavar="FILE", required=True, complete="file"),
    JSON,
)

INTERNAL = (
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
            *_BUNDLE,
            Argument("--distro", "distribution; as the archive says when left out", metavar="NAME"),
            Argument("--arch", "amd64 (the default) or arm64", metavar="ARCH"),
            Argument("--kernel-ref", "the kernel that its machines boot", metavar="KERNEL"),
            Argument(
                "--size", "size of its file system; as large as needed when left out", kind="size", metavar="SIZE"
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
            *_BUNDLE,
        ),
        examples=("banger internal make-kernel-bundle --from ./out --name mine --out mine.tar.zst",),
        hidden=True,
    ),
    Verb(
        "internal complete",
        "suggest what may follow the words after --, the last of which is unfinished",
        command="optional",
        hidden=True,
    ),
)
