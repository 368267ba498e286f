"""Rows of the group ``vm``."""

from banger.cli.verb import JSON, Argument, Group, Verb

VM_ARGUMENT = Argument("VM", "name of a machine, or the beginning of its id", complete="vm")
_VMS = Argument("VM", "name of a machine, or the beginning of its id", many="several", complete="vm")

_MACHINE = (
    Argument("--name", "name of the machine; made up when left out", metavar="NAME"),
    Argument(
        "--image", "image to make it from, made or pulled first where it is missing", metavar="IMAGE", complete="image"
    ),
    Argument("--kernel", "kernel to boot", metavar="KERNEL", complete="kernel"),
    Argument("--vcpu", "number of processors", kind="count", metavar="N"),
    Argument("--memory", "memory, e.g. 512M or 4G", kind="size", metavar="SIZE"),
    Argument("--disk-size", "size of the root disk, e.g. 8G", kind="size", metavar="SIZE"),
    Argument("--work-disk", "size of the disk on /root, e.g. 20G", kind="size", metavar="SIZE"),
    Argument("--nat", "let it reach the outside; without the system install it always does", kind="flag"),
    Argument("--peers", "let it and the other machines with --peers reach each other", kind="flag"),
    Argument(
        "-p/--publish",
        "forward a port of this host into it while it runs, at 127.0.0.1 or at ADDR (repeatable)",
        kind="list",
        metavar="[ADDR:]PORT[:GUEST]",
    ),
    Argument("--label", "note about it, to find it by (repeatable)", kind="env", metavar="K=V"),
    Argument(
        "--ttl",
        "end it this long after its start, and after every later one: stopped in order, with --rm deleted",
        kind="duration",
        metavar="TIME",
    ),
)
REPOSITORY = (
    Argument("--branch", "have it on a new branch of this name, which exists in the machine alone", metavar="BRANCH"),
    Argument("--from", "what --branch begins at: a branch, tag or commit of the repository (HEAD)", metavar="REF"),
    Argument("--include-untracked", "take files along that git does not track; never those it ignores", kind="flag"),
    Argument("--dry-run", "print what would be imported, and make nothing", kind="flag"),
)
_LABEL = Argument("--label", "only machines with this label (repeatable)", kind="list", metavar="K[=V]")
ENV = Argument("-e/--env", "environment variable for the command (repeatable)", kind="env", metavar="K=V")
HOW = (
    Argument("-i/--interactive", "forward stdin to the command", kind="flag"),
    Argument("-t/--tty", "give the command a terminal", kind="flag"),
    Argument("-w/--workdir", "directory to run it in", metavar="DIR"),
    Argument("-u/--user", "user (and group) to run it as: NAME or UID, optionally :GROUP", metavar="USER"),
    Argument("--entrypoint", "put the image's entrypoint before the command", kind="flag"),
    Argument("--timeout", "end the command after this time, with status 124", kind="duration", metavar="TIME"),
)
STATUS = """\
The exit status is the command's own; 128+N when signal N ended it, 124 when its time ran out. When banger itself
fails the status is 125, 126 when the command cannot be executed, 127 when it is not found."""

VM = Group(
    "vm",
    "machines: run, look at and delete them",
    """\
A machine is a whole Linux system of its own, made from an image. 'banger vm run' does it all at once: it makes the
machine, starts it and runs a command or a shell in it. A machine that was not started with --rm stays until it is
deleted; 'banger vm list' shows it, 'banger exec' runs more in it, 'banger cp' moves files.""",
    (
        "banger run --rm -- uname -a          # one command in a machine of its own",
        "banger run                           # a shell",
        "banger run -d --name web             # a machine to come back to",
        "banger exec web -- systemctl status",
        "banger cp ./site web:/srv/",
        "banger rm web",
    ),
    (
        Verb(
            "vm run",
            "make and start a machine, with a repository in it, and run a command or a shell there",
            description=f"""\
With PATH, the git repository that PATH is in is at /root/NAME in the machine, and the command or shell runs there, or
in the directory below it that PATH is. The machine gets the tracked files as they are here, edits included, HEAD with
the last steps of its history, the URL of its origin, and your name and address; no other configuration. With --branch
and --from REF the files are those of REF, where that is not what is checked out here.

Where the image has mise, it installs what the repository pins, in the background, and with --detach first of all; a
command does without. What it says is in /root/.cache/banger/bootstrap-NAME.log. Packages that a profile asks for are
installed before anything runs; a run whose packages cannot be installed fails.

Without a command the login shell is started on a terminal; where stdin is no terminal the shell reads its commands
from there. The machine stays afterwards, unless --rm is given. With --detach it is only made and started.

What no flag says, the .banger.toml of the repository says (PATH's, or the one here), once you have agreed to its
content; then the [profile] of config.toml that --profile names; then config.toml and the host.

{STATUS}""",
            arguments=(
                Argument("PATH", "a directory in a git repository of this host", many="optional", complete="file"),
                Argument("--rm", "delete the machine at the end, whatever happens", kind="flag"),
                Argument("-d/--detach", "make and start the machine, print its name, and return", kind="flag"),
                *REPOSITORY,
                Argument(
                    "--no-bootstrap", "install neither the profile's packages nor the repository's tools", kind="flag"
                ),
                *_MACHINE,
                Argument(
                    "--profile", "settings for it by a name, from config.toml", metavar="NAME", complete="profile"
                ),
                Argument("--no-profile", "ignore the .banger.toml of the repository here", kind="flag"),
                ENV,
                *HOW,
                Argument("--json", "print one JSON document: result, output and the time of each phase", kind="flag"),
            ),
            examples=(
                "banger run --rm -- uname -a",
                "banger run . --rm -- make test           # the repository here, in a machine of its own",
                "banger run ~/src/app --branch try --from main",
                "banger run --name web --image docker.io/library/debian:bookworm",
                "banger run -d --name web",
                "banger run -d --name api -p 8080:80      # http://localhost:8080 is port 80 of the machine",
                "echo 'echo hello from $(hostname)' | banger run --rm",
            ),
            aliases=("run",),
            command="optional",
            guest=True,
        ),
        Verb(
            "vm create",
            "make a machine and start it",
            description="""\
With --token the machine is made once, however often the command is repeated: while it is there, the same command with
the same token prints its name. With other options it is refused.""",
            arguments=(
                *_MACHINE,
                ENV,
                Argument("--no-start", "do not start it", kind="flag"),
                Argument("--token", "a word of yours that stands for this machine", metavar="TOKEN"),
                JSON,
            ),
            examples=(
                "banger vm create --name web",
                "banger vm create --name big --memory 8G --no-start",
                "banger vm create --token build-4711",
            ),
        ),
        Verb(
            "vm list",
            "show all machines",
            arguments=(_LABEL, Argument("-q/--quiet", "print names only, one a line", kind="flag"), JSON),
            examples=("banger ps", "banger rm $(banger ps -q)", "banger ps --label run=7"),
            aliases=("ps", "vm ps"),
        ),
        Verb("vm show", "show one machine", arguments=(VM_ARGUMENT, JSON), examples=("banger vm show web --json",)),
        Verb(
            "vm set",
            "change machines: processors, memory, disks, network, published ports",
            description="""\
What the network lets through and what is published change at once. Processors, memory and disks of a machine that runs
wait for its next start, which 'banger vm show' tells; 'banger vm restart' makes it so. Disks grow and never shrink, and
the file system grows with its disk when the machine starts. --nat and --peers are for machines on the system install's
network.""",
            arguments=(
                _VMS,
                Argument("--vcpu", "number of processors", kind="count", metavar="N"),
                Argument("--memory", "memory, e.g. 512M or 4G", kind="size", metavar="SIZE"),
                Argument(
                    "--disk/--disk-size", "size of the root disk, not below what it is", kind="size", metavar="SIZE"
                ),
                Argument("--work-disk", "size of the disk on /root, not below what it is", kind="size", metavar="SIZE"),
                Argument("--nat", "let it reach the outside", kind="flag"),
                Argument("--no-nat", "do not let it reach the outside", kind="flag"),
                Argument("--peers", "let it and the other machines with --peers reach each other", kind="flag"),
                Argument("--no-peers", "keep it apart from other machines", kind="flag"),
                Argument(
                    "-p/--publish",
                    "forward a port of this host into it while it runs (repeatable)",
                    kind="list",
                    metavar="[ADDR:]PORT[:GUEST]",
                ),
                Argument("--unpublish", "forward it no more (repeatable)", kind="list", metavar="[ADDR:]PORT"),
                JSON,
            ),
            examples=(
                "banger vm set web --vcpu 4 --memory 4G",
                "banger vm set web --disk 40G",
                "banger vm set web --work-disk 100G",
                "banger vm set web db --no-nat",
                "banger vm set web --unpublish 8080 --publish 8081:80",
            ),
        ),
        Verb(
            "vm keep",
            "give a machine with a time limit its whole time again",
            description="""\
A machine that was made with --ttl is ended when that time has passed since its start: stopped in order, or deleted when
it was made with --rm. This begins the time anew, now. With TIME that is the limit from now on, also for a machine
that had none; 'forever' takes the limit away. The daemon ends machines; one that was away ends what is overdue when it
starts.""",
            arguments=(VM_ARGUMENT, Argument("TIME", "the new limit, or 'forever'", many="optional"), JSON),
            examples=("banger vm keep web", "banger vm keep web 2h", "banger vm keep web forever"),
        ),
        Verb(
            "vm start",
            "start machines",
            description="A machine that runs already is left as it is.",
            arguments=(_VMS, JSON),
            examples=("banger vm start web db",),
        ),
        Verb(
            "vm stop",
            "power machines off in order",
            description="""\
The guest is asked to power itself off; when it has not after --timeout, it is switched off. A machine that does not run
is left as it is.""",
            arguments=(
                _VMS,
                Argument("--timeout", "how long the guest may take (30s)", kind="duration", metavar="TIME"),
                JSON,
            ),
            examples=("banger vm stop web db",),
        ),
        Verb(
            "vm restart",
            "power machines off in order, then start them",
            description="A machine that does not run is just started.",
            arguments=(
                _VMS,
                Argument("--timeout", "how long the guest may take (30s)", kind="duration", metavar="TIME"),
                JSON,
            ),
            examples=("banger vm restart web",),
        ),
        Verb(
            "vm kill",
            "switch machines off at once",
            description="What the guest has not written to its disk is lost. 'banger vm stop' is the orderly way.",
            arguments=(_VMS, JSON),
            examples=("banger vm kill web",),
        ),
        Verb(
            "vm delete",
            "delete machines with their disks",
            description="A machine that runs is switched off first. There is no way back.",
            arguments=(_VMS, JSON),
            examples=("banger rm web db",),
            aliases=("rm", "vm rm"),
        ),
        Verb(
            "vm prune",
            "delete all machines that do not run",
            description="""\
Shows them and asks first. Those that run stay, and so does one that is started before the answer. Without a terminal
to ask on it takes --force.""",
            arguments=(_LABEL, Argument("-f/--force", "delete without a question", kind="flag"), JSON),
            examples=("banger vm prune", "banger vm prune --force --label run=7"),
        ),
        Verb(
            "vm exec",
            "run a command in a machine",
            description=f"""\
The command begins at the first word behind the machine's name that is no option, or after --. With --detach it goes on
after banger has returned, as a session whose id is printed: 'banger vm session' has the verbs for it. Where a
repository was imported ('banger vm workspace'), root's commands run in it unless --workdir says
otherwise; when this host's is at another commit by now, that is said on stderr.

{STATUS}""",
            arguments=(
                VM_ARGUMENT,
                *HOW[:2],
                ENV,
                *HOW[2:],
                Argument("-d/--detach", "start the command as a session, print its id, and return", kind="flag"),
                Argument(
                    "--auto-prepare",
                    "import first what has changed here, as 'banger vm workspace prepare' does",
                    kind="flag",
                ),
                Argument("--json", "print one JSON document: result and output", kind="flag"),
            ),
            examples=(
                "banger exec web -- ls -l /srv",
                "banger exec -it web bash",
                "banger exec --auto-prepare web -- make test    # with what was edited here meanwhile",
                "tar c . | banger exec -i -w /srv web tar x",
            ),
            aliases=("exec",),
            command="required",
            guest=True,
        ),
        Verb(
            "vm ssh",
            "log in to a machine with this host's ssh",
            description="""\
What follows the name are ssh's own options; words after -- are a command, which runs there as it is written here. The
key is banger's, the machine's host key is known, and no network is needed. The image needs an ssh server; 'banger exec'
works without one. 'banger ssh-config --install' lets plain ssh, scp, rsync and editors reach NAME.vm in the same way.

The exit status is ssh's: the command's own, or 255.""",
            arguments=(
                Argument(
                    "VM",
                    "name of a machine, or the beginning of its id; root unless it is USER@VM",
                    metavar="[USER@]VM",
                    complete="vm",
                ),
            ),
            examples=(
                "banger ssh web",
                "banger ssh web -- systemctl --failed",
                "banger ssh web -N -L 8080:localhost:80",
            ),
            aliases=("ssh",),
            command="passed",
            guest=True,
        ),
        Verb(
            "vm cp",
            "copy files into a machine or out of it",
            description="""\
One of the two is VM:PATH, the other a path on this host, or - for a tar archive on stdin or stdout. A directory is
copied with everything in it. When the destination is a directory that exists, the source is copied into it; when it
does not exist, it is made as a copy of the source. A source that ends in /. means the contents of a directory.
Nothing is ever written outside the destination, whatever the machine sends.""",
            arguments=(
                Argument("SRC", "what to copy: PATH, VM:PATH or -", complete="vm-or-file"),
                Argument("DST", "where to: PATH, VM:PATH or -", complete="vm-or-file"),
            ),
            examples=("banger cp ./site web:/srv/", "banger cp web:/var/log/syslog .", "banger cp web:/etc - | tar t"),
            aliases=("cp",),
        ),
        Verb(
            "vm logs",
            "print a machine's console",
            description="""\
On a terminal, everything but text and colours is shown in an escaped form; a pipe gets the bytes as they are.""",
            arguments=(VM_ARGUMENT, Argument("-f/--follow", "go on until the machine stops", kind="flag")),
            examples=("banger vm logs web", "banger vm logs -f web"),
        ),
        Verb(
            "vm stats",
            "show what machines take: processor time, memory, disk, network",
            description="""\
Without names, the machines that run. CPU is a share of one processor, since the machine's start or, with --watch, since
the table before; MEMORY is what the host really holds for it; DISK is what its files really take. The bytes of a
user-mode network are not known. --watch goes on until Ctrl-C; with --json it prints a document a line.""",
            arguments=(
                Argument("VM", "name of a machine, or the beginning of its id", many="any", complete="vm"),
                Argument("--watch", "show them again and again", kind="flag"),
                Argument("--interval", "how often, with --watch (2s)", kind="duration", metavar="TIME"),
                JSON,
            ),
            examples=("banger vm stats", "banger vm stats web --watch"),
        ),
        Verb(
            "vm ports",
            "show what listens in machines, and how this host reaches it",
            description="""\
Without names, the machines that run. A row is a socket that waits for connections or datagrams, with the process that
the guest names for it. ENDPOINT is how this host reaches it; one that is bound to the guest's loopback is reached by
nobody else, unless a port of this host is forwarded to it; so is all that listens in a machine on QEMU without an
installation. A port that is forwarded to nothing is shown too. LINK is shown where an HTTP server answers: each port
that could have one is asked for a moment, from inside the machine.""",
            arguments=(
                Argument("VM", "name of a machine, or the beginning of its id", many="any", complete="vm"),
                JSON,
            ),
            examples=("banger vm ports", "banger vm ports web db", "banger vm ports web --json"),
        ),
        Verb(
            "vm forward",
            "forward ports of this host into a machine, until Ctrl-C",
            description="""\
Whoever connects to PORT of this host reaches port GUEST of the machine, the same when it is left out: what listens
there on the machine's loopback or on all addresses. It works on every machine, with or without a network. Without ADDR
only this host reaches it; 0.0.0.0 lets others in. It ends when the machine stops. With --keep the ports are published
instead: bound whenever the machine runs, until 'banger vm set VM --unpublish PORT'.""",
            arguments=(
                VM_ARGUMENT,
                Argument("PORT", "port of this host, and the machine's", many="several", metavar="[ADDR:]PORT[:GUEST]"),
                Argument("--keep", "publish them: keep them on the machine's record, and return", kind="flag"),
                Argument("--json", "print one JSON document once this host listens", kind="flag"),
            ),
            examples=(
                "banger forward web 8080:80",
                "banger forward db 5432",
                "banger forward web 0.0.0.0:8080:80 8443:443",
                "banger forward web 8080:80 --keep",
            ),
            aliases=("forward",),
        ),
        Verb(
            "vm health",
            "ask a machine's agent how it is",
            arguments=(VM_ARGUMENT, JSON),
            examples=("banger vm health web",),
        ),
    ),
    next=(
        ("banger help vm run", "what a machine can be given: processors, memory, ports, a time limit"),
        ("banger image list --catalog", "the images that have a name; --image takes any reference of a registry too"),
        ("banger forward web 8080:80", "reach what listens in a machine from this host"),
        ("banger ssh-config --install", "reach machines as NAME.vm with ssh, scp, rsync and editors"),
    ),
)

GROUPS = (VM,)
SINGLE: tuple[Verb, ...] = ()
