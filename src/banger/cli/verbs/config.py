"""Rows of the group ``config``."""

from banger.cli.verb import JSON, Argument, Group, Verb

CONFIG = Group(
    "config",
    "settings: which there are, which are in force, and why",
    """\
Settings are in config.toml: the host's in /etc/banger, and the user's own, which wins. All are optional. The daemon
reads them when it starts; 'banger daemon stop' makes the next command start it with what the files say by then.""",
    (
        "banger config init                   # a file with every setting, to change",
        "banger config show",
        "banger config path",
    ),
    (
        Verb(
            "config show",
            "show every setting in force, and what has decided it",
            description="""\
FROM is the file and the line, or built-in; host where the size of this host has decided. A daemon that runs tells what
it goes by, and what the files have come to say since is told beside it. None is started. The exit status is 2 when the
files are wrong.""",
            arguments=(JSON,),
            examples=("banger config show", "banger config show --json"),
        ),
        Verb(
            "config init",
            "write a file with every setting, what it is for, and its default",
            description="""\
It is the user's config.toml, root's is the host's; one that is there is never touched. Nothing in it is in force until
the # before it is taken away.""",
            arguments=(Argument("--print", "print it instead", kind="flag"),),
            examples=("banger config init", "banger config init --print | less"),
        ),
        Verb(
            "config trust",
            "agree to what a repository's .banger.toml sets for 'banger run'",
            description="""\
Shows it, and puts it on record; 'banger run' asks the same on a terminal. A file that changes has to be agreed to
again. It lies at the top of the git repository that PATH is in, the current directory when left out.""",
            arguments=(Argument("PATH", "a directory", many="optional", complete="file"),),
            examples=("banger config trust", "banger config trust ~/src/app"),
        ),
        Verb(
            "config untrust",
            "take that back",
            arguments=(Argument("PATH", "a directory", many="optional", complete="file"),),
            examples=("banger config untrust",),
        ),
        Verb(
            "config path",
            "show which files are read, the one that wins last",
            arguments=(JSON,),
            examples=("banger config path",),
        ),
    ),
)

GROUPS = (CONFIG,)
SINGLE: tuple[Verb, ...] = ()
