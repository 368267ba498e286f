"""Rows of the group ``vm workspace``."""

from banger.cli.verb import JSON, Argument, Group, Verb
from banger.cli.verbs.vm import REPOSITORY, VM_ARGUMENT

_CHANGES = (
    Argument("--base-commit", "commit to begin from, instead of the one that was imported", metavar="COMMIT"),
    Argument("--guest-path", "repository in the machine, instead of the workspace", metavar="DIR"),
)

WORKSPACE = Group(
    "vm workspace",
    "a repository of this host in a machine: bring it, look at it, take changes back",
    """\
A workspace is a repository of this host that was imported into a machine, by 'banger run PATH' or 'prepare'. What is
done there stays there, until it is taken back as a patch.""",
    (
        "banger vm workspace prepare dev .    # import it, or what has changed of it since",
        "banger vm workspace diff dev         # what was done?",
        "banger vm workspace export dev | git apply",
    ),
    (
        Verb(
            "vm workspace prepare",
            "import a repository into a machine, or what has changed of it since",
            description="""\
As 'banger run PATH' does it, into a machine that runs. The second time only what has changed here is sent, and what was
removed here is removed there. What has changed in the machine stays. What has changed on both sides is not touched:
nothing is imported then, and the names are told. --overwrite takes what is here; commits that were made in the machine
are kept there below refs/banger/. An import that broke off is mended by the next one. PATH is the repository of the
last import when left out, and so are the options.""",
            arguments=(
                VM_ARGUMENT,
                Argument("PATH", "a directory in a git repository of this host", many="optional", complete="file"),
                Argument("--overwrite", "where both sides have changed, take what is here", kind="flag"),
                *REPOSITORY,
                JSON,
            ),
            examples=(
                "banger vm workspace prepare web .",
                "banger vm workspace prepare web          # what has changed since",
                "banger vm workspace prepare web --overwrite",
            ),
        ),
        Verb(
            "vm workspace export",
            "take what was changed in a machine's workspace, as a patch",
            description="""\
The patch is for 'git apply', and has all that was changed since the import: edits, new files that are not ignored,
deleted ones, modes, links, commits. It goes to stdout, or with --output to a file, all or nothing. The machine's
repository is left as it is, its index too.

A machine is not trusted. What would lie outside the tree, in .git or behind a link is refused; files that an editor,
git or a shell acts on by itself are named on stderr: look at them before you apply the patch.""",
            arguments=(
                VM_ARGUMENT,
                Argument("-o/--output", "file to write the patch to", metavar="FILE", complete="file"),
                *_CHANGES,
                JSON,
            ),
            examples=(
                "banger vm workspace export dev | git apply",
                "banger vm workspace export dev --output changes.patch",
                "banger vm workspace export dev --base-commit HEAD~1 --json",
            ),
        ),
        Verb(
            "vm workspace diff",
            "show what was changed in a machine's workspace",
            description="""\
For reading: what is not text is shown in an escaped form, wherever it goes. 'banger vm workspace export' gives the
patch itself.""",
            arguments=(
                VM_ARGUMENT,
                Argument("--stat", "only names, and how many lines of each changed", kind="flag"),
                *_CHANGES,
            ),
            examples=("banger vm workspace diff dev", "banger vm workspace diff dev --stat"),
        ),
    ),
    next=(
        ("banger exec dev -- make test", "a command in the workspace"),
        ("banger rm dev", "the machine goes, and with it what was not exported"),
    ),
)

GROUPS = (WORKSPACE,)
SINGLE: tuple[Verb, ...] = ()
