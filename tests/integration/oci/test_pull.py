"""Pulls from a real registry through a proxy: what is asked for, over breaks, between several at once."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.oci import skopeo, transport
from banger.oci.cache import Cache
from tests import guest_images
from tests.installation import scenario
from tests.proxy import Proxy
from tests.pulls import Told, fetch, image, takes_up
from tests.registry import Registry
from tests.registry import skopeo as real_skopeo

BIG = 2 << 20
"""Bytes of the layers that are cut in the middle; they do not compress."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path) as running:
        yield running


@pytest.fixture
def proxy(registry: Registry) -> Iterator[Proxy]:
    with Proxy(registry.port) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.01))


def blob_requests(proxy: Proxy, digest: str) -> int:
    return len(proxy.asked(part=f"/blobs/{digest}"))


# -- what is asked for ------------------------------------------------------------------------------------------------


@scenario
async def test_what_is_here_costs_one_request_and_by_digest_none(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    registry.push(image(tmp_path / "layout", 1000, 2000), "demo/small:one")
    name = proxy.reference("demo/small:one")
    first = await fetch(name, cache)
    proxy.forget()
    told = Told()
    assert await fetch(name, cache, told) == first
    assert proxy.asked(part="/demo/") == ["/v2/demo/small/manifests/one"]
    assert told.progress == []
    proxy.forget()
    pinned = f"{proxy.reference('demo/small')}@{first.digest}"
    assert (await fetch(pinned, cache)).layers == first.layers
    registry.stop()
    assert (await fetch(pinned, cache)).layers == first.layers
    assert proxy.asked() == []


@scenario
async def test_of_a_new_version_only_the_new_layer_is_fetched_and_counted(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    base, old, new = (guest_images.Tar().file("f", os.urandom(size)).bytes() for size in (BIG, 1000, 3000))
    registry.push(guest_images.write_layout(tmp_path / "1", [base, old]), "demo/small:one")
    registry.push(guest_images.write_layout(tmp_path / "2", [base, new]), "demo/small:two")
    one = await fetch(proxy.reference("demo/small:one"), cache)
    proxy.forget()
    told = Told()
    two = await fetch(proxy.reference("demo/small:two"), cache, told)
    assert blob_requests(proxy, one.layers[0].digest) == 0 and blob_requests(proxy, two.layers[1].digest) == 1
    assert told.progress[-1][0] == told.progress[-1][1]
    assert 3000 < (told.progress[-1][1] or 0) < 10_000


@scenario
async def test_progress_grows_to_the_total_that_the_manifest_tells(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    registry.push(image(tmp_path / "layout", BIG, BIG // 2), "demo/big:one")
    told = Told()
    with proxy.held(BIG // 4):
        pull = asyncio.create_task(fetch(proxy.reference("demo/big:one"), cache, told))
        while not any(0 < done < (total or 0) for done, total in told.progress):  # noqa: ASYNC110 - it is on the disk
            await asyncio.sleep(0.01)
    fetched = await pull
    totals = {total for _, total in told.progress}
    counts = [done for done, _ in told.progress]
    config = json.loads((cache / "blobs/sha256" / fetched.digest[7:]).read_bytes())["config"]["size"]
    assert totals == {sum(each.size for each in fetched.layers) + config}
    assert counts == sorted(counts) and counts[-1] in totals


@scenario
async def test_an_index_means_the_manifest_of_our_platform(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    entries = []
    for architecture, variant in (("arm64", "v8"), ("amd64", "v3"), ("amd64", "")):
        layout = tmp_path / f"{architecture}{variant}"
        registry.push(image(layout, 1000, architecture=architecture), f"demo/many:{architecture}{variant}")
        entry = json.loads((layout / "index.json").read_bytes())["manifests"][0]
        entry.pop("annotations")
        platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        entries.append(entry | {"platform": platform})
    kind = "application/vnd.oci.image.index.v1+json"
    put(registry, "demo/many", "all", kind, {"schemaVersion": 2, "mediaType": kind, "manifests": entries})
    put(registry, "demo/many", "others", kind, {"schemaVersion": 2, "mediaType": kind, "manifests": entries[:2]})

    fetched = await fetch(proxy.reference("demo/many:all"), cache)
    assert fetched.digest == entries[2]["digest"]
    proxy.forget()
    await fetch(proxy.reference("demo/many:all"), cache)
    assert proxy.asked(part="/demo/") == ["/v2/demo/many/manifests/all"]
    with pytest.raises(errors.WrongPlatform, match="is for linux/amd64/v3, linux/arm64/v8, not for linux/amd64"):
        await fetch(proxy.reference("demo/many:others"), cache)


def put(registry: Registry, repository: str, tag: str, kind: str, document: object) -> None:
    import urllib.request

    request = urllib.request.Request(
        f"http://127.0.0.1:{registry.port}/v2/{repository}/manifests/{tag}",
        data=json.dumps(document).encode(),
        headers={"Content-Type": kind},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - it is the registry's
        assert answer.status == 201


# -- over breaks ------------------------------------------------------------------------------------------------------


@scenario
async def test_a_connection_that_breaks_once_is_taken_up_at_the_byte_or_costs_the_blob_that_was_under_way(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    """At the byte where skopeo can do that: what has come goes on growing then, and nobody is told of it."""
    registry.push(image(tmp_path / "layout", 1000, BIG), "demo/big:one")
    proxy.cut(BIG // 4 * 3)
    told = Told()
    fetched = await fetch(proxy.reference("demo/big:one"), cache, told)
    assert proxy.cuts == 1
    assert [blob_requests(proxy, each.digest) for each in fetched.layers] == [1, 2]
    first, second = proxy.offsets(fetched.layers[1].digest)
    again = [each for each in told.notices if "the connection broke; trying again" in each]
    assert first == 0
    if takes_up():
        assert BIG // 2 < second < BIG // 4 * 3 and not again
    else:
        assert second == 0 and again
    counts = [done for done, _ in told.progress]
    assert counts == sorted(counts)


@scenario
async def test_one_that_always_breaks_is_given_up_and_the_next_pull_brings_the_rest(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    registry.push(image(tmp_path / "layout", 1000, BIG), "demo/big:one")
    name = proxy.reference("demo/big:one")
    large = max((tmp_path / "layout/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size).name
    proxy.cut(BIG // 2, times=99)
    with pytest.raises(errors.SourceUnavailable, match="the connection broke") as caught:
        await fetch(name, cache)
    assert "what has arrived whole is kept" in caught.value.advice
    assert proxy.offsets(large).count(0) == 1 + len(transport.PAUSES)
    assert Cache(str(cache)).entries() == [] and not list(cache.glob("pull-*"))
    assert all(path.stat().st_size < BIG // 2 for path in (cache / "blobs/sha256").iterdir())
    proxy.cut(0, times=0)
    proxy.forget()
    fetched = await fetch(name, cache)
    assert [blob_requests(proxy, each.digest) for each in fetched.layers] == [0, 1]
    assert proxy.offsets(fetched.layers[1].digest) == [0]


@scenario
async def test_refusals_are_not_asked_again(registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path) -> None:
    registry.push(image(tmp_path / "layout", 1000, 5000), "demo/small:one")
    manifest = json.loads(
        real_skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{registry.reference('demo/small:one')}")
    )
    digest = manifest["layers"][1]["digest"]
    registry.blob(digest).unlink()
    told = Told()
    with pytest.raises(errors.SourceUnavailable):
        await fetch(proxy.reference("demo/small:one"), cache, told)
    assert blob_requests(proxy, digest) == 1 and told.notices == []


@scenario
async def test_a_registry_that_falls_silent_is_given_up(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push(image(tmp_path / "layout", BIG), "demo/big:one")
    monkeypatch.setattr(skopeo, "PATIENCE", 0.5)
    monkeypatch.setattr(transport, "PAUSES", ())
    with proxy.held(BIG // 2), pytest.raises(errors.SourceUnavailable, match="the network gave no answer"):
        await fetch(proxy.reference("demo/big:one"), cache)


PULL = """
import asyncio, sys
from banger.oci import reference, transport
asyncio.run(transport.fetch(reference.parse(sys.argv[1]), sys.argv[2]))
"""


def start_pull(name: str, cache: Path) -> subprocess.Popen[bytes]:
    """A pull in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-c", PULL, name, str(cache)], env=environment)


@scenario
async def test_kill_9_in_the_middle_ends_the_download_too_and_the_next_pull_goes_on(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    registry.push(image(tmp_path / "layout", 1000, BIG), "demo/big:one")
    name = proxy.reference("demo/big:one")
    with proxy.held(BIG // 2):
        killed = start_pull(name, cache)
        assert await asyncio.to_thread(proxy.reached.wait, 60)
        while not any(path.stat().st_size > 1000 for path in (cache / "blobs/sha256").iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        killed.kill()
        killed.wait()
        store = Cache(str(cache))
        assert list(cache.glob("pull-*"))
        store.sweep()
        assert not list(cache.glob("pull-*"))
    proxy.forget()
    fetched = await fetch(name, cache)
    assert [blob_requests(proxy, each.digest) for each in fetched.layers] == [0, 1]


# -- several at once --------------------------------------------------------------------------------------------------


@scenario
async def test_two_processes_download_one_reference_once(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    registry.push(image(tmp_path / "layout", BIG), "demo/big:one")
    name = proxy.reference("demo/big:one")
    told = Told()
    with proxy.held(BIG // 2):
        other = start_pull(name, cache)
        assert await asyncio.to_thread(proxy.reached.wait, 60)
        ours = asyncio.create_task(fetch(name, cache, told))
        while not told.notices:  # noqa: ASYNC110 - the lock tells nobody else
            await asyncio.sleep(0.01)
    fetched = await ours
    assert await asyncio.to_thread(other.wait, 60) == 0
    assert told.notices == [f"waiting for another pull of {name}"]
    assert blob_requests(proxy, fetched.layers[0].digest) == 1


@scenario
async def test_different_references_do_not_wait_for_each_other(
    registry: Registry, proxy: Proxy, cache: Path, tmp_path: Path
) -> None:
    registry.push(image(tmp_path / "1", BIG), "demo/big:one")
    registry.push(image(tmp_path / "2", 1000), "demo/small:one")
    with proxy.held(BIG // 2):
        slow = asyncio.create_task(fetch(proxy.reference("demo/big:one"), cache))
        assert await asyncio.to_thread(proxy.reached.wait, 60)
        await fetch(proxy.reference("demo/small:one"), cache)
        assert not slow.done()
    await slow
