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

INTERNAL = (
    Verb(
        "internal complete",
        "suggest what may follow the words after --, the last of which is unfinished",
        command="optional",
        hidden=True,
    ),
)
