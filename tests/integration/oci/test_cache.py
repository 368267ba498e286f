"""The cache as other tools see it, its index, its pruning and its locks."""

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.oci import locks, reference
from banger.oci.cache import Cache, layout_name
from tests.installation import scenario
from tests.pulls import fetch, image
from tests.registry import Registry, skopeo


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@scenario
async def test_skopeo_reads_the_cache(registry: Registry, cache: Path, tmp_path: Path) -> None:
    layout = image(tmp_path / "layout", 1000)
    names = [registry.push(layout, "demo/a_b:one"), registry.push(layout, "demo/a__b/c---d:v_1..2-"), layout]
    for name in names:
        fetched = await fetch(name, cache)
        place = f"oci:{cache}:{layout_name(str(reference.parse(name)))}"
        assert json.loads(skopeo("inspect", place))["Digest"] == fetched.digest
        skopeo("copy", place, f"dir:{tmp_path}/out")
    assert (cache.stat().st_mode & 0o777, len(Cache(str(cache)).entries())) == (0o700, 3)


@scenario
async def test_a_tag_that_moved_takes_the_place_of_the_old_one(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(image(tmp_path / "1", 1000), "demo/small:one")
    first = await fetch(name, cache)
    registry.push(image(tmp_path / "2", 1000), "demo/small:one")
    second = await fetch(name, cache)
    assert first.digest != second.digest
    assert [each.digest for each in Cache(str(cache)).entries()] == [second.digest]


@scenario
async def test_a_broken_index_is_made_anew(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(image(tmp_path / "1", 1000), "demo/small:one")
    first = await fetch(name, cache)
    for rubbish in (b"", b"[]", b'{"manifests": [{"digest": "../../etc"}]}', b"\xff" * 100):
        (cache / "index.json").write_bytes(rubbish)
        assert await fetch(name, cache) == first
        assert [each.digest for each in Cache(str(cache)).entries()] == [first.digest]


@scenario
async def test_pruning_waits_for_leases_and_leases_for_pruning(registry: Registry, cache: Path, tmp_path: Path) -> None:
    name = registry.push(image(tmp_path / "1", 1000), "demo/small:one")
    store = Cache(str(cache))
    lease = await store.lease()
    fetched = await fetch(name, cache)
    notices: list[str] = []
    prune = asyncio.create_task(store.prune(notices.append))
    while not notices:  # noqa: ASYNC110 - the lock tells nobody else
        await asyncio.sleep(0.01)
    assert all(Path(each.path).exists() for each in fetched.layers)
    given_up = asyncio.create_task(store.prune())
    await asyncio.sleep(0)
    given_up.cancel()
    before = store.used()
    os.close(lease)
    assert await prune == before and before.blobs == 3
    assert notices == ["waiting for the pulls that use the cache"]
    assert store.used() == (0, 0) and store.entries() == []
    assert await fetch(name, cache) == fetched

    pruning = locks.attempt(str(cache / "lock"), 0)
    assert pruning is not None
    waiting = asyncio.create_task(store.lease(notices.append))
    while len(notices) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert notices[1] == "waiting for the cache to be pruned"
    os.close(pruning)
    os.close(await waiting)


@scenario
async def test_a_pruning_that_died_is_finished_at_the_next_start(
    registry: Registry, cache: Path, tmp_path: Path
) -> None:
    name = registry.push(image(tmp_path / "1", 1000), "demo/small:one")
    first = await fetch(name, cache)
    (cache / "blobs").rename(cache / "gone-x")  # it had come this far
    store = Cache(str(cache))
    lease = await store.lease()
    store.sweep()
    assert (cache / "gone-x").exists()  # another process is at work here: nothing is touched
    os.close(lease)
    store.sweep()
    assert not (cache / "gone-x").exists() and store.used() == (0, 0)
    assert await fetch(name, cache) == first


@scenario
async def test_a_cache_that_is_not_there_holds_nothing(cache: Path) -> None:
    store = Cache(str(cache))
    store.sweep()
    assert store.used() == await store.prune() == (0, 0)
    assert not cache.exists()


def test_locks_exclude_each_other_in_one_process_and_no_child_inherits_them(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    shared = [locks.attempt(path, 7, shared=True) for _ in range(2)]
    assert None not in shared and locks.attempt(path, 7) is None
    other = locks.attempt(path, 8)
    for each in (*shared, other):
        assert each is not None and fcntl.fcntl(each, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.close(each)
    alone = locks.attempt(path, 7)
    assert alone is not None and locks.attempt(path, 7, shared=True) is None
    os.close(alone)
