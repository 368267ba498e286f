"""Rows of the group ``vm session``."""

from banger.cli.verb import JSON, Argument, Group, Verb
from banger.cli.verbs.vm import ENV, HOW, VM_ARGUMENT

_SESSION = Argument("SESSION", "name of a session, or the beginning of its id", complete="session")
_STATUS = """\
The exit status is the session's own; 128+N when signal N ended it, 124 when its time ran out. When banger itself fails
the status is 125."""

SESSION = Group(
    "vm session",
    "commands that go on in a machine without their client",
    """\
A session is a command in a machine that belongs to no client: it goes on when banger returns, when the terminal is
closed and when the daemon ends or dies. What it says is kept in the machine, the last 1 MiB of stdout and stderr
together. Of the sessions that have ended the machine keeps as many as it has places, 64 with those that run; the first
to go are those whose end somebody has seen. Sessions end with their machine: nothing of them is there after a stop or
restart.""",
    (
        "banger vm session start web --name server -- python3 -m http.server",
        "banger vm session logs -f web server",
        "banger vm session list web",
        "banger vm session stop web server",
    ),
    (
        Verb(
            "vm session start",
            "start a command in a machine, and return",
            description="""\
The command begins at the first word behind the machine's name that is no option, or after --. The session's name, or
else its id, is printed. Without --stdin or --tty its stdin is /dev/null. With a name it can be asked for by that; one
session that runs has it, and one that has ended loses it to the next. 'banger exec --detach' is the same without a
name.""",
            arguments=(
                VM_ARGUMENT,
                Argument("--name", "name of the session", metavar="NAME"),
                Argument("-i/--stdin/--interactive", "keep its stdin open, for 'send' and 'attach'", kind="flag"),
                HOW[1],
                ENV,
                *HOW[2:],
                JSON,
            ),
            examples=(
                "banger vm session start web --name server -- python3 -m http.server",
                "banger vm session start --tty --name sh web bash",
                "banger vm session start --stdin --name repl web python3 -i",
            ),
            command="required",
        ),
        Verb(
            "vm session list",
            "show a machine's sessions, those that run and those that have ended",
            arguments=(VM_ARGUMENT, Argument("-q/--quiet", "print names or ids only, one a line", kind="flag"), JSON),
            examples=("banger vm session list web", "banger vm session list web --json"),
        ),
        Verb(
            "vm session show",
            "show one session",
            arguments=(VM_ARGUMENT, _SESSION, JSON),
            examples=("banger vm session show web server",),
        ),
        Verb(
            "vm session logs",
            "print what a session said",
            description="""\
What it wrote to stdout goes to stdout, what it wrote to stderr to stderr, in the order in which it came. Where the log
does not reach back to the beginning, stderr says how much is missing. On a terminal, everything but text and colours is
shown in an escaped form; a pipe gets the bytes as they are.""",
            arguments=(
                VM_ARGUMENT,
                _SESSION,
                Argument("-f/--follow", "go on until the session ends", kind="flag"),
                Argument("--stream", "only this stream", metavar="STREAM", choices=("stdout", "stderr")),
                Argument("--tail", "only the last lines", kind="count", metavar="N"),
            ),
            examples=("banger vm session logs web server", "banger vm session logs -f --tail 20 web server"),
        ),
        Verb(
            "vm session attach",
            "put this terminal at a session",
            description=f"""\
Shows the last it said, and then what it says. What is typed goes to its stdin, if that is open: one attachment at a
time may type, any number may look on with --read-only. Ctrl-P Ctrl-Q leaves a session with a terminal and lets it go
on, where Ctrl-C is a key like others; any other session is left by Ctrl-C.

{_STATUS} It is 0 when the session was left.""",
            arguments=(VM_ARGUMENT, _SESSION, Argument("--read-only", "only look on", kind="flag")),
            examples=("banger vm session attach web sh", "banger vm session attach --read-only web server"),
            guest=True,
        ),
        Verb(
            "vm session send",
            "write to a session's stdin",
            description="""\
The session must have been started with --stdin or --tty. Returns when the machine has taken all of it; a command that
reads nothing has room for 64 KiB, and what does not go in within --timeout is thrown away, with an error that tells how
much went in. Keys of a terminal are bytes: $'\\x03' is Ctrl-C.""",
            arguments=(
                VM_ARGUMENT,
                _SESSION,
                Argument("TEXT", "what to write, as it is", many="optional"),
                Argument("--file", "write a file, or - for stdin", metavar="FILE", complete="file"),
                Argument("-n/--newline", "write a line's end after it", kind="flag"),
                Argument("--eof", "close its stdin after it", kind="flag"),
                Argument("--timeout", "how long nothing may be taken (10s)", kind="duration", metavar="TIME"),
                JSON,
            ),
            examples=(
                "banger vm session send web repl 'print(6 * 7)' --newline",
                "banger vm session send web import --file rows.csv --eof",
            ),
        ),
        Verb(
            "vm session stop",
            "ask a session to end, and wait until it has",
            description="""\
Its processes get SIGTERM and, after --timeout, SIGKILL; a shell on a terminal gets SIGHUP besides. A session that has
ended is left as it is.""",
            arguments=(
                VM_ARGUMENT,
                _SESSION,
                Argument("--timeout", "how long it may take (10s)", kind="duration", metavar="TIME"),
                JSON,
            ),
            examples=("banger vm session stop web server",),
        ),
        Verb(
            "vm session kill",
            "send a signal to a session's processes",
            arguments=(
                VM_ARGUMENT,
                _SESSION,
                Argument("-s/--signal", "the signal, by name or number (KILL)", metavar="SIGNAL"),
                JSON,
            ),
            examples=("banger vm session kill web server", "banger vm session kill -s HUP web server"),
        ),
        Verb(
            "vm session wait",
            "wait until a session has ended, and end with its status",
            description=_STATUS,
            arguments=(VM_ARGUMENT, _SESSION, Argument("--json", "print one JSON document: the session", kind="flag")),
            examples=("banger vm session wait web tests",),
            guest=True,
        ),
    ),
    next=(
        ("banger vm session wait web tests", "the session's end, and its status"),
        ("banger exec --detach web make test", "the same without a name"),
    ),
)

GROUPS = (SESSION,)
SINGLE: tuple[Verb, ...] = ()
