"""What the ``.git`` of a workspace has besides the history and the index: where HEAD is, and a configuration.

Nothing of the host's configuration goes along but who commits, where the origin is, and what the working files' bytes
and modes mean.
"""

import re

from banger.workspace import repository
from banger.workspace.repository import Repository

_EOL = {"core.autocrlf": re.compile(r"true|false|input", re.IGNORECASE), "core.eol": re.compile(r"lf|crlf|native")}


def head(branch: str | None, commit: str | None) -> bytes:
    """The file HEAD."""
    return f"ref: refs/heads/{branch}\n".encode() if branch is not None else f"{commit}\n".encode()


def configuration(source: Repository) -> bytes:
    """The file config. Only a change of size or time makes git there read a file: see `banger.workspace.index`."""
    git, sha256 = source.git, source.format == "sha256"
    sections: dict[str, dict[str, str]] = {
        "core": {
            "repositoryformatversion": "1" if sha256 else "0",
            "filemode": "false" if repository.config(git, "core.fileMode") == "false" else "true",
            "bare": "false",
            "logallrefupdates": "true",
            "checkStat": "minimal",
            "trustctime": "false",
        },
        "extensions": {"objectformat": "sha256"} if sha256 else {},
        "user": {key: repository.config(git, f"user.{key}") for key in ("name", "email")},
    }
    for key, allowed in _EOL.items():
        value = repository.config(git, key)
        if allowed.fullmatch(value):
            sections["core"][key.partition(".")[2]] = value
    if url := repository.origin(git):
        sections['remote "origin"'] = {"url": url, "fetch": "+refs/heads/*:refs/remotes/origin/*"}
    lines = []
    for section, values in sections.items():
        told = [f"\t{key} = {_quoted(value)}\n" for key, value in values.items() if value]
        lines += [f"[{section}]\n", *told] if told else []
    return "".join(lines).encode()


def _quoted(value: str) -> str:
    """A value as git-config(1) reads it back; control characters have no business in one."""
    plain = "".join(each for each in value if each.isprintable())
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
