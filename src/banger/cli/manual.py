"""The manual pages, made from the verb table and the table of settings.

One page for the whole, for each group and for each verb, as git has them: ``banger-vm-run(1)``; a shorter name of a
verb leads to the same page, ``banger-run(1)``. ``banger-config(5)`` is about config.toml and .banger.toml. They say
what ``--help`` says, by the same words.
"""

from collections.abc import Sequence

from banger.cli import help, roff
from banger.cli.verb import Argument, Group, Verb
from banger.cli.verbs.table import GROUPS, VERBS

FILES = (
    ("~/.config/banger/config.toml", "settings of a user; of the installed service, and the defaults of all users, in "
     "/etc/banger/config.toml"),
    (".banger.toml", "at the top of a repository: what 'banger run' in it goes by, once you have agreed to it"),
    ("~/.config/banger/catalogs/*.toml", "names that can be pulled, besides the built-in ones"),
    ("~/.local/state/banger/", "machines, images and kernels; the installed service's are in /var/lib/banger"),
    ("~/.local/state/banger/bangerd.log", "what the daemon says; the installed service's is in the journal"),
    ("~/.cache/banger/", "what pulls have downloaded; it may be removed"),
    ("$XDG_RUNTIME_DIR/banger/bangerd.sock", "where the daemon answers"),
)  # fmt: skip

ENVIRONMENT = (
    ("BANGER_CONFIG_DIR", "the directory of config.toml"),
    ("BANGER_STATE_DIR", "where machines, images and kernels are"),
    ("BANGER_CACHE_DIR", "where downloads are"),
    ("BANGER_RUNTIME_DIR", "where the daemon's socket is: another one is another installation"),
    ("BANGER_LOG_LEVEL", "how much the daemon's log says: debug, info, warning or error"),
    ("NO_COLOR", "when it is set, nothing is coloured"),
)


def pages() -> dict[str, str]:
    """Every page: its file below ``share/man``, such as ``man1/banger-vm-run.1``, and its text."""
    found = {_file("banger"): _whole(), "man5/banger-config.5": _config()}
    for group in GROUPS:
        if not group.hidden:
            found[_file(_name(group.name))] = _group(group)
    for verb in VERBS:
        if not verb.hidden:
            page = _file(_name(verb.path))
            found[page] = _verb(verb)
            found |= {_file(_name(alias)): f".so {page}\n" for alias in verb.aliases}
    return found


def _file(name: str) -> str:
    return f"man1/{name}.1"


def _name(path: str) -> str:
    return "banger-" + path.replace(" ", "-")


def _page(name: str, summary: str, synopsis: Sequence[str], body: Sequence[str], *, section: int = 1) -> str:
    lines = [*roff.heading(name, section, "banger"), *roff.section("NAME")]
    lines += [rf"{roff.literal(name)} \- {summary.translate(roff.SPECIAL)}"]
    if synopsis:
        lines += roff.section("SYNOPSIS")
        lines += [line for index, each in enumerate(synopsis) for line in ([".br"] if index else []) + [each]]
    return "\n".join([*lines, *body]) + "\n"


def _whole() -> str:
    body = [*roff.section("DESCRIPTION"), *roff.prose(help.INTRODUCTION + "\n\n" + help.CONVENTIONS)]
    for title, rows in help.contents():
        body += [*roff.section(title.upper()), *roff.items((roff.bold(word), text) for word, text in rows)]
    body += [*roff.section("EXAMPLES"), *roff.code(help.EXAMPLES)]
    body += [*roff.section("EXIT STATUS"), *roff.prose(help.WHOSE_STATUS), *_table(help.STATUSES)]
    body += [*roff.section("ENVIRONMENT"), *_table(ENVIRONMENT), *roff.section("FILES"), *_table(FILES)]
    groups = [roff.link(_name(group.name), 1) for group in GROUPS if not group.hidden]
    body += _see(*groups, roff.link(_name("doctor"), 1), roff.link("banger-config", 5))
    return _page("banger", help.TITLE, [rf"{roff.bold('banger')} {roff.italic('VERB')} [\fIOPTIONS\fP] ..."], body)


def _group(group: Group) -> str:
    body = [*roff.section("DESCRIPTION"), *roff.prose(group.description), *roff.section("VERBS")]
    body += roff.items((roff.link(_name(path), 1), help.sentence(summary)) for path, summary in help.members(group))
    body += [*roff.section("EXAMPLES"), *roff.code(group.examples)]
    body += [*roff.section("NEXT"), *_table(group.next)] if group.next else []
    synopsis = [rf"{roff.bold(f'banger {group.name}')} {roff.italic('VERB')} [\fIOPTIONS\fP] ..."]
    return _page(_name(group.name), group.summary, synopsis, [*body, *_see(roff.link("banger", 1))])


def _verb(verb: Verb) -> str:
    body = [*roff.section("DESCRIPTION"), *roff.prose(f"{help.sentence(verb.summary)}\n\n{verb.description}")]
    if verb.positionals:
        rows = ((roff.italic(each.metavar), help.sentence(help.explained(each))) for each in verb.positionals)
        body += [*roff.section("ARGUMENTS"), *roff.items(rows)]
    if verb.options:
        rows = ((_spelt(each), help.sentence(help.explained(each))) for each in verb.options)
        body += [*roff.section("OPTIONS"), *roff.items(rows)]
    body += [*roff.section("EXAMPLES"), *roff.code(verb.examples)]
    above = [roff.link(_name(group.name), 1) for group in GROUPS if verb in group.verbs]
    body += _see(roff.link("banger", 1), *above)
    synopsis = [_usage(verb, name) for name in (verb.path, *verb.aliases)]
    return _page(_name(verb.path), verb.summary, synopsis, body)


def _usage(verb: Verb, name: str) -> str:
    rest = verb.usage.removeprefix(f"banger {verb.path}")
    return roff.bold(f"banger {name}") + roff.literal(rest)


def _spelt(option: Argument) -> str:
    words = ", ".join(roff.bold(flag) for flag in option.flags)
    return f"{words} {roff.italic(option.metavar)}" if option.takes_value else words


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    return roff.items((roff.bold(word), help.sentence(text)) for word, text in rows)


def _see(*links: str) -> list[str]:
    return [*roff.section("SEE ALSO"), *(link + ("," if link != links[-1] else "") for link in links)]


def _config() -> str:
    """banger-config(5): single settings, and then the tables that may be there under any name or several times."""
    from banger.config import reference
    from banger.config.settings import SETTINGS

    rows = (
        (roff.bold(each.name), f"{each.help} {help.sentence(each.kind)} Default: {reference.shown_default(each)}.")
        for each in SETTINGS
        if not each.head
    )
    body = [*roff.section("DESCRIPTION"), *roff.prose(reference.ABOUT), *roff.section("SETTINGS"), *roff.items(rows)]
    tables = [(each.head, each.help, each.keys) for each in SETTINGS if each.head]
    for title, about, known in (*tables, (reference.PROJECT, reference.PROJECT_ABOUT, reference.PROJECT_KEYS)):
        keys = ((roff.bold(key.name), f"{key.help} {help.sentence(key.kind)}") for key in known)
        body += [*roff.section(title), *roff.prose(about), *roff.items(keys)]
    example = ['default_image = "debian-bookworm"', "", "[vm_defaults]", 'memory = "4G"', "vcpu = 2"]
    body += [*roff.section("EXAMPLE"), *roff.code(example), *_see(roff.link("banger", 1))]
    return _page("banger-config", "settings of banger, in config.toml and .banger.toml", [], body, section=5)
