"""``banger config path``: which files are read."""

from banger.paths import Paths

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger.cli.terminal import Terminal
    from banger.cli.verb import Namespace

COLUMNS = (("kind", "WHOSE"), ("path", "FILE"), ("state", "STATE"))


def run(arguments: "Namespace", terminal: "Terminal") -> int:
    import msgspec

    from banger.config.report import files

    found = files(Paths.from_environment())
    if arguments.json:
        terminal.document({"files": msgspec.to_builtins(found)})
    else:
        rows = [{"kind": each.kind, "path": each.path, "state": "" if each.exists else "not there"} for each in found]
        terminal.table(rows, COLUMNS)
    return 0
