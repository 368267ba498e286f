"""The table of the API's resources against the descriptions that the Firecracker project has published.

``published_api.json`` holds, of each such description (src/firecracker/swagger/firecracker.yaml at a release's tag,
with the date of that commit), the requests that we make: what they require, and each property's type or values.
"""

import json
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banger.vmm.firecracker import resources, versions
from banger.vmm.firecracker.resources import Request

PUBLISHED: dict[str, Any] = json.loads(Path(__file__).with_name("published_api.json").read_text())
TYPES = {int: "integer", str: "string", bool: "boolean"}


def cases() -> list[Any]:
    return [
        pytest.param(release, kind, id=f"{release}-{kind.__name__}")
        for release in PUBLISHED
        for kind in resources.TABLE
    ]


def test_the_releases_reach_from_the_oldest_to_beyond_the_newest_tested() -> None:
    found = [versions.parse(release) for release in PUBLISHED]
    assert versions.OLDEST in found
    assert versions.NEWEST_TESTED in found
    assert max(each for each in found if each) > versions.NEWEST_TESTED


@pytest.mark.parametrize(("release", "kind"), cases())
def test_a_request_is_of_the_published_form(release: str, kind: type[Request]) -> None:
    published = PUBLISHED[release]["requests"].get(f"{kind.METHOD} {kind.PATH}")
    assert published is not None, "there is no such request"
    fields = msgspec.structs.fields(kind)
    properties = published.get("properties", {})
    assert {each.name for each in fields} <= set(properties)
    assert {each.name for each in fields if each.required} >= set(published.get("required", ()))
    for each in fields:
        allowed = properties[each.name]
        values = literals(each.type)
        if values is not None:
            assert values <= set(allowed)
        else:
            assert TYPES[plain(each.type)] == allowed


def plain(hint: Any) -> Any:
    """The type without its None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
    return hint


def literals(hint: Any) -> set[str] | None:
    hint = plain(hint)
    return set(typing.get_args(hint)) if typing.get_origin(hint) is typing.Literal else None


def test_the_table_is_whole() -> None:
    assert set(resources.TABLE) == set(Request.__subclasses__())


def test_what_is_not_given_is_not_said() -> None:
    assert resources.Entropy().body() == b"{}"
    assert resources.Logger(level="Info").body() == b'{"level":"Info"}'
    assert resources.Version().body() == b""


def test_a_path_names_its_resource() -> None:
    drive = resources.BlockDevice(drive_id="root", is_root_device=False, path_on_host="/root", is_read_only=False)
    assert drive.path == "/drives/root"
    assert b'"is_read_only":false' in drive.body()
