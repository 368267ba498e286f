"""The rules of the tree that no linter knows: sizes, names, doors, and what may not be left in a source."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
MODULE_LIMIT = 700
MODULE_SMELL = 400
FUNCTION_LIMIT = 60
DEPTH_LIMIT = 3
FORBIDDEN_NAMES = {"util", "utils", "helpers", "misc", "common", "base", "manager"}

LARGE = {
    "src/banger/errors.py": "the one table of failures",
    "src/banger/sdk/client.py": "one method for each row of the table of routes",
}
"""Modules above the smell, each with the reason why it is better whole."""

DOORS = {
    "src/banger/proc.py": "the door",
    "src/banger/helper/program.py": "the root helper's own, which imports nothing of ours",
    "src/banger/helper/server.py": "forks a process for each request, and runs no program",
    "src/banger/vmm/fake/machine.py": "a program that plays a machine, and starts the agent as a kernel would",
}
"""The only modules that start programs, each with its reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*tops: str) -> list[Path]:
    found = (path for top in tops for path in sorted((TREE / top).rglob("*.py")))
    return [path for path in found if "__pycache__" not in path.parts]


def named(path: Path) -> str:
    return str(path.relative_to(TREE))


PYTHON = sources("src", "tests", "scripts", "bench", "guest-agent", "netguard")
OURS = sources("src", "scripts", "bench", "guest-agent", "netguard")


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


@pytest.mark.parametrize("path", PYTHON, ids=named)
def test_module_size(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MODULE_LIMIT, f"{lines} lines"
    assert lines <= MODULE_SMELL or named(path) in LARGE, f"{lines} lines: split it, or give the reason in LARGE"


def test_no_stale_excuse() -> None:
    for name, reason in LARGE.items():
        assert reason
        assert len((TREE / name).read_text().splitlines()) > MODULE_SMELL, f"{name} needs no excuse any more"


@pytest.mark.parametrize("path", PYTHON, ids=named)
def test_function_size(path: Path) -> None:
    long = {
        each.name: each.end_lineno - each.lineno + 1
        for each in functions(path)
        if each.end_lineno is not None and each.end_lineno - each.lineno + 1 > FUNCTION_LIMIT
    }
    assert not long


@pytest.mark.parametrize("path", [path for path in PYTHON if path.read_text().strip()], ids=named)
def test_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "a module says what it owns"


@pytest.mark.parametrize("path", sources("src"), ids=named)
def test_package_is_documented_and_shallow(path: Path) -> None:
    assert path.read_text().strip(), "an empty module says nothing"
    assert len(path.relative_to(TREE / "src" / "banger").parts) <= DEPTH_LIMIT


@pytest.mark.parametrize("path", OURS, ids=named)
def test_module_is_a_noun(path: Path) -> None:
    words = set(re.split(r"[_/.]", str(path.relative_to(TREE))))
    assert not words & FORBIDDEN_NAMES


@pytest.mark.parametrize("path", [path for path in sources("src") if named(path) not in DOORS], ids=named)
def test_one_door_to_programs(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        assert "subprocess" not in imported, "only banger.proc starts programs"
        if isinstance(node, ast.Attribute):
            called = ast.unparse(node)
            assert called not in ("os.system", "os.popen", "os.fork", "asyncio.create_subprocess_exec")
            assert not called.startswith(("os.spawn", "os.posix_spawn", "asyncio.create_subprocess"))


def test_nothing_is_promised_in_comments() -> None:
    mark = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
    texts = PYTHON + [
        path for top in ("guest-agent", "netguard", "docs", "scripts") for path in (TREE / top).rglob("*.*")
    ]
    found = [
        f"{named(path)}:{number}"
        for path in texts
        if path.is_file() and path.suffix in (".py", ".c", ".h", ".md", ".sh")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if mark.search(line)
    ]
    assert not found


def test_exports() -> None:
    """Every name in an ``__all__`` exists, once, in order."""
    for path in sources("src"):
        tree = ast.parse(path.read_text())
        if not any(
            isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets)
            for node in tree.body
        ):
            continue
        name = ".".join(path.relative_to(TREE / "src").with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        exported = list(module.__all__)
        assert exported == sorted(set(exported)), name
        assert all(hasattr(module, each) for each in exported), name
