"""Rows of the group ``kernel``."""

from banger.cli.verb import JSON, Argument, Group, Verb

_KERNEL = Argument("KERNEL", "name of a kernel", complete="kernel")
_KERNELS = Argument("KERNEL", "name of a kernel", many="several", complete="kernel")

KERNEL = Group(
    "kernel",
    "kernels: what machines boot",
    """\
A machine boots a kernel of this host, together with its modules; images bring none. 'banger kernel pull' takes the
distribution's cloud kernel out of its package without installing it; 'banger run' does so on the way when there is
no kernel yet. A kernel of your own is imported from a directory.""",
    (
        "banger kernel pull",
        "banger kernel list",
        "banger kernel import mine --from ./linux/out",
        "banger run --kernel mine --rm -- uname -r",
    ),
    (
        Verb(
            "kernel pull",
            "take the distribution's cloud kernel out of its package, or fetch one that a catalog has",
            arguments=(
                Argument(
                    "KERNEL",
                    "name in a catalog; the distribution's kernel when left out",
                    many="optional",
                    complete="kernel-catalog",
                ),
                Argument("--name", "what it is to be called here", metavar="NAME"),
                Argument("--force", "take it again although it is here", kind="flag"),
                JSON,
            ),
            examples=("banger kernel pull", "banger kernel list --catalog"),
        ),
        Verb(
            "kernel import",
            "take a kernel and its modules from a directory",
            description="DIR holds a bzImage or a vmlinux, and the module tree that belongs to it.",
            arguments=(
                Argument("NAME", "name of the kernel"),
                Argument("--from", "the directory", metavar="DIR", required=True, complete="file"),
                JSON,
            ),
            examples=("banger kernel import mine --from ./linux/out",),
        ),
        Verb(
            "kernel list",
            "show all kernels, or what can be pulled by a name",
            arguments=(
                Argument("--catalog", "show what the catalogs have instead", kind="flag"),
                Argument("-q/--quiet", "print names only, one a line", kind="flag"),
                JSON,
            ),
            examples=("banger kernel list",),
            aliases=("kernel ls",),
        ),
        Verb("kernel show", "show one kernel", arguments=(_KERNEL, JSON), examples=("banger kernel show mine",)),
        Verb(
            "kernel rm",
            "delete kernels that no machine uses",
            arguments=(_KERNELS, JSON),
            examples=("banger kernel rm mine",),
            aliases=("kernel delete",),
        ),
    ),
    next=(("banger run --kernel mine", "a machine that boots it"),),
)

GROUPS = (KERNEL,)
SINGLE: tuple[Verb, ...] = ()
