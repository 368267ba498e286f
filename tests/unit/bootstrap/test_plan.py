"""From a repository's files to a plan."""

import pytest

from banger.bootstrap import guest, versions
from banger.bootstrap.pins import Pin, Skip
from banger.bootstrap.plan import Plan, build


def planned(**files: str | bytes) -> Plan:
    """The plan for files, whose names are spelt with ``__`` for a dot and ``_`` for a hyphen."""
    contents = {name.replace("__", ".").replace("_", "-"): text for name, text in files.items()}
    return build({name: text.encode() if isinstance(text, str) else text for name, text in contents.items()})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("go.mod", "module x\n\ngo 1.22\n", "go@1.22"),
        ("go.mod", "module x\ngo 1.21.0 // why\n\ntoolchain go1.22.3\n", "go@1.22.3"),
        ("go.mod", "go 1.23rc1\ntoolchain default\n", "go@1.23rc1"),
        ("go.mod", "module x\n", None),
        (".nvmrc", "v20.11.1\n", "node@20.11.1"),
        (".nvmrc", "# ours\n20\n", "node@20"),
        (".nvmrc", "lts/*\n", "node@lts"),
        (".nvmrc", "lts/Iron", "node@lts-iron"),
        (".node-version", "\ufeff18.19\r\n", "node@18.19"),
        ("package.json", '{"engines": {"node": "^20.9.0"}}', "node@20"),
        ("package.json", '{"engines": {"node": ">=18"}}', "node@18"),
        ("package.json", '{"engines": {"node": ">= 18.17.0 <21"}}', "node@18"),
        ("package.json", '{"engines": {"node": "~20.9.1"}}', "node@20.9"),
        ("package.json", '{"engines": {"node": "20.x"}}', "node@20"),
        ("package.json", '{"engines": {"node": "20.11.1"}}', "node@20.11.1"),
        ("package.json", '{"engines": {"node": "^18.18.0 || ^20.9.0 || >=21"}}', "node@21"),
        ("package.json", '{"packageManager": "pnpm@9.1.0+sha512.abcd"}', "pnpm@9.1.0"),
        ("package.json", '{"packageManager": "yarn@4.2.2", "engines": {}}', "yarn@4.2.2"),
        ("package.json", "[1]", None),
        (".python-version", "3.12.4\n3.11\n", "python@3.12.4"),
        (".python-version", "cpython-3.13", "python@3.13"),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.11"', "python@3.11"),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.10, !=3.10.1, <4"', "python@3.10"),
        ("pyproject.toml", '[project]\nrequires-python = "~=3.12.1"', "python@3.12"),
        ("pyproject.toml", '[project]\nrequires-python = "==3.12.*"', "python@3.12"),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.11.4,<3.11.6"', "python@3.11.4"),
        ("pyproject.toml", "[tool.x]\n", None),
        ("rust-toolchain.toml", '[toolchain]\nchannel = "1.78.0"\ncomponents = ["clippy"]', "rust@1.78.0"),
        ("rust-toolchain", "nightly-2024-05-01\n", "rust@nightly-2024-05-01"),
        ("rust-toolchain", '[toolchain]\nchannel = "stable"', "rust@stable"),
    ],
)
def test_a_file_pins_a_tool(name: str, text: str, expected: str | None) -> None:
    plan = build({name: text.encode()})
    assert [f"{each.tool}@{each.version}" for each in plan.steps] == ([expected] if expected else [])
    assert plan.skips == ()
    assert plan.managed == ()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("go.mod", "go 1.22;reboot\n", "'1.22;reboot' is no version of go that is known here"),
        ("go.mod", "toolchain go1.22.3-custom\n", "'1.22.3-custom' is no version of go"),
        (".nvmrc", "$(reboot)", "is no version of node"),
        (".nvmrc", "--global", "'--global' is no version of node"),
        (".nvmrc", "20\x1b[31m", r"is no version of node"),
        (".nvmrc", "9" * 500, "is no version of node"),
        (".nvmrc", "٢٠", "is no version of node"),
        ("package.json", '{"engines": {"node": "<21"}}', "'<21', which names no series of versions"),
        ("package.json", '{"engines": {"node": "*"}}', "names no series"),
        ("package.json", '{"packageManager": "npm@10.0.0"}', "npm comes with node"),
        ("package.json", '{"packageManager": "evil@1"}', "'evil@1' is no package manager"),
        ("package.json", "{", "it cannot be read"),
        ("package.json", "[" * 100_000, "it cannot be read"),
        ("package.json", '{"x": ' + "1" * 5000 + "}", "it cannot be read"),
        (".python-version", "pypy3.10-7.3.16", "is no version of python"),
        ("pyproject.toml", '[project]\nrequires-python = "<4"', "'<4', which names no series"),
        ("pyproject.toml", '[project]\nrequires-python = ">3.10"', "names no series"),
        ("pyproject.toml", "a = " + "[" * 50_000, "it cannot be read"),
        ("rust-toolchain.toml", '[toolchain]\npath = "/opt/rust"', "a path of the host's"),
        ("rust-toolchain", "my toolchain", "is no version of rust"),
    ],
)
def test_what_pins_nothing_is_explained(name: str, text: str, reason: str) -> None:
    plan = build({name: text.encode()})
    assert plan.empty and plan.needed == ""
    (skip,) = plan.skips
    assert skip.source == name
    assert reason in skip.reason
    assert skip.reason.isprintable() and len(skip.reason) < 200


def test_steps_are_sorted_and_the_first_file_decides() -> None:
    plan = planned(
        rust_toolchain="stable",
        go__mod="go 1.22\n",
        package__json='{"engines": {"node": ">=18"}, "packageManager": "pnpm@9.1.0"}',
        __nvmrc="20",
        pyproject__toml='[project]\nrequires-python = ">=3.11"',
        __python_version="3.12",
    )
    assert [each.tool for each in plan.steps] == ["go", "node", "pnpm", "python", "rust"]
    assert Pin("node", "20", ".nvmrc") in plan.steps
    assert Pin("python", "3.12", ".python-version") in plan.steps
    assert plan.skips == (
        Skip("package.json", "node is pinned by .nvmrc", False),
        Skip("pyproject.toml", "python is pinned by .python-version", False),
    )
    assert plan.needed.startswith("go 1.22 (go.mod), node 20 (.nvmrc), pnpm 9.1.0 (package.json), ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mise.toml", '[tools]\nnode = "20"\n"core:go" = ["1.22", "1.21"]\n'),
        (".config/mise/config.toml", '[tools]\nnodejs = {version = "20"}\ngolang = "1.22"\n'),
        (".tool-versions", "# ours\nnodejs 20.11.1\n\ngolang 1.22.3 1.21.0\n"),
    ],
)
def test_what_mise_manages_is_left_to_it(name: str, text: str) -> None:
    plan = build({name: text.encode(), ".nvmrc": b"18", "go.mod": b"go 1.20\n", ".python-version": b"3.12"})
    assert plan.managed == (name,)
    assert plan.steps == (Pin("python", "3.12", ".python-version"),)
    assert not any(each.lost for each in plan.skips)
    assert {each.reason for each in plan.skips} == {"node is in a file of mise's", "go is in a file of mise's"}
    assert plan.needed == f"{name}, python 3.12 (.python-version)"


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[tools", b"tools = 3", b"a = " + b"[" * 50_000])
def test_a_file_of_mise_is_its_business_even_where_it_cannot_be_read(text: bytes) -> None:
    plan = build({"mise.toml": text, ".nvmrc": b"20"})
    assert plan.managed == ("mise.toml",)
    assert [each.tool for each in plan.steps] == ["node"]


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    assert build({"package.json": None}).skips == (Skip("package.json", "it is too large"),)
    assert build({"mise.toml": None}).managed == ("mise.toml",)


def test_nothing_is_nothing_to_do() -> None:
    assert build({}) == Plan((), (), ())
    assert build({}).empty


def test_packages_are_a_part_of_the_plan() -> None:
    plan = build({"go.mod": b"go 1.22\n"}, ["make", "gcc"])
    assert (plan.packages, plan.outward, plan.empty) == (("make", "gcc"), True, False)
    assert (plan.tools, plan.needed) == ("go 1.22 (go.mod)", "packages make gcc, go 1.22 (go.mod)")
    assert build({}, [f"lib{number}" for number in range(200)]).needed == "200 packages"
    assert not build({"go.mod": b"go 1.22\n"}).outward


def test_names_of_packages_are_arguments_of_a_program_that_is_always_the_same() -> None:
    assert guest.packages_command(["make", "g++"]) == [
        "/bin/sh", "-c", guest.PACKAGES_SCRIPT, "packages", "make", "g++",
    ]  # fmt: skip


def test_the_command_takes_words_and_nothing_becomes_its_text() -> None:
    plan = planned(mise__toml="", go__mod="go 1.22\n", __nvmrc="20")
    shell, option, script, *arguments = guest.command(plan, "/root/my repo", "my repo")
    assert (shell, option, script) == ("/bin/sh", "-c", guest.SCRIPT)
    assert arguments == [
        "bootstrap", "/root/my repo", "/root/.cache/banger/bootstrap-my repo.log", "yes", "go@1.22", "node@20",
    ]  # fmt: skip
    assert all(versions.known(*each.split("@")) for each in arguments[4:])
