"""Registries that lie: after each attack there is a clear error, and the cache holds nothing but sound blobs."""

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.oci import reference, skopeo, transport
from banger.oci.cache import Cache
from tests.guest_images import Tar
from tests.security.hostile_registry import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Handler,
    HostileRegistry,
    cut,
    described,
    digest,
    endless,
    redirect,
)

LAYERS = [Tar().file("a", os.urandom(3000)).bytes(), Tar().file("b", b"b").bytes()]


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSES", (0.01, 0.01))


def fetch(registry: HostileRegistry, cache: Path, rest: str = ":latest") -> transport.Fetched:
    return asyncio.run(transport.fetch(reference.parse(registry.reference(rest)), str(cache)))


def refused(registry: HostileRegistry, cache: Path, rest: str = ":latest") -> errors.BangerError:
    """The error of a fetch that leaves nothing but sound blobs behind."""
    with pytest.raises(errors.BangerError) as caught:
        fetch(registry, cache, rest)
    assert Cache(str(cache)).entries() == []
    assert not list(cache.glob("pull-*"))
    for path in (cache / "blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert "\x1b" not in caught.value.message
    assert not isinstance(caught.value, errors.InternalError)
    return caught.value


def test_an_honest_one_is_believed(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    fetched = fetch(registry, cache)
    assert [each.digest for each in fetched.layers] == [digest(each) for each in LAYERS]


# -- manifests --------------------------------------------------------------------------------------------------------


def test_a_manifest_that_is_not_of_the_digest_that_was_asked_for(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    wanted = digest(b"something else")
    registry.manifests[wanted] = registry.manifests["latest"]
    assert isinstance(refused(registry, cache, f"@{wanted}"), errors.CorruptBlob)


def test_a_manifest_that_is_not_the_one_of_its_index(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    platform = {"os": "linux", "architecture": "amd64"}
    entry = described(MANIFEST, b"another manifest", platform=platform)
    registry.manifests[entry["digest"]] = registry.manifests["latest"]
    registry.put(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    assert isinstance(refused(registry, cache), errors.CorruptBlob)


def test_an_index_without_our_platform_or_with_a_lie_about_it(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS, architecture="arm64")
    found = registry.manifests["latest"][1]
    assert isinstance(found, bytes)
    for architecture, told in (("arm64", "is for linux/arm64, not for"), ("amd64", "is for linux/arm64, not for")):
        entry = described(MANIFEST, found, platform={"os": "linux", "architecture": architecture})
        registry.put(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
        error = refused(registry, cache)
        assert isinstance(error, errors.WrongPlatform) and told in error.message


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", MANIFEST, INDEX])
def test_a_document_that_is_no_manifest(registry: HostileRegistry, cache: Path, kind: str) -> None:
    for rubbish in (b"", b"<html>", b"[]", b'{"layers": [], "config": 5}', b"[" * 100_000, b"\xff\xfe\x00"):
        registry.put(kind, rubbish)
        assert isinstance(refused(registry, cache), errors.CorruptBlob | errors.SourceUnavailable)


def test_a_media_type_that_lies(registry: HostileRegistry, cache: Path) -> None:
    honest = registry.image(LAYERS)
    registry.put(INDEX, honest)
    outcome = fetch_or_error(registry, cache)
    assert isinstance(outcome, errors.CorruptBlob | errors.SourceUnavailable | transport.Fetched)
    layers = [described("application/x-executable", each) for each in LAYERS]
    registry.image(LAYERS, layers=layers)
    error = refused(registry, cache / "other")
    assert isinstance(error, errors.CorruptBlob | errors.SourceUnavailable)


@pytest.mark.parametrize("kind", [MANIFEST, INDEX])
def test_a_document_that_is_a_manifest_and_an_index(registry: HostileRegistry, cache: Path, kind: str) -> None:
    """CVE-2021-41190: one digest, and two readers of it see two images."""
    other = registry.image(LAYERS[:1])
    entry = described(MANIFEST, json.dumps(other).encode(), platform={"os": "linux", "architecture": "amd64"})
    registry.put(kind, {**registry.image(LAYERS[1:]), "mediaType": kind, "manifests": [entry]})
    assert "an index and a manifest at once" in refused(registry, cache).message


def fetch_or_error(registry: HostileRegistry, cache: Path) -> object:
    try:
        return fetch(registry, cache)
    except errors.BangerError as error:
        return error


def test_a_manifest_of_a_hundred_megabytes(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    registry.manifests["latest"] = (MANIFEST, b'{"schemaVersion": 2, "a": "' + b"a" * (100 << 20) + b'"}')
    assert "larger than any image's" in refused(registry, cache).message


def test_a_manifest_without_an_end(registry: HostileRegistry, cache: Path) -> None:
    registry.manifests["latest"] = (MANIFEST, endless)
    assert "larger than any image's" in refused(registry, cache).message


def test_ten_thousand_layers(registry: HostileRegistry, cache: Path) -> None:
    layer = described(LAYER, LAYERS[1])
    registry.image(LAYERS, layers=[layer] * 10_000)
    assert isinstance(refused(registry, cache), errors.CorruptBlob)
    assert not [each for each in registry.asked if "/blobs/" in each]


@pytest.mark.parametrize(
    "lie",
    [
        {"digest": "sha256:../../../../etc/passwd"},
        {"digest": "sha256:" + "A" * 64},
        {"digest": ""},
        {"size": -1},
        {"size": 1e300},
        {"size": 1 << 62},
        {"size": "5"},
        {"size": None},
    ],
)
def test_a_descriptor_that_makes_no_sense(registry: HostileRegistry, cache: Path, lie: dict[str, Any]) -> None:
    registry.image(LAYERS, layers=[described(LAYER, LAYERS[0], **lie)])
    assert isinstance(refused(registry, cache), errors.CorruptBlob | errors.DiskFull)
    assert not [each for each in registry.asked if "/blobs/" in each]


def test_a_layer_that_no_disk_can_hold_is_not_begun(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS, layers=[described(LAYER, LAYERS[0], size=1 << 45)])
    assert isinstance(refused(registry, cache), errors.DiskFull)
    assert not [each for each in registry.asked if "/blobs/" in each]


# -- blobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [-1, 1])
def test_a_size_that_lies(registry: HostileRegistry, cache: Path, change: int) -> None:
    layers = [described(LAYER, LAYERS[0], size=len(LAYERS[0]) + change), described(LAYER, LAYERS[1])]
    registry.image(LAYERS, layers=layers)
    assert isinstance(refused(registry, cache), errors.CorruptBlob)


def test_a_layer_of_other_bytes(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    registry.blobs[digest(LAYERS[0])] = [LAYERS[0][:-1] + b"x"]
    assert isinstance(refused(registry, cache), errors.CorruptBlob)


def test_a_layer_served_twice_with_other_bytes(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    other = bytes(len(LAYERS[0]))
    registry.blobs[digest(LAYERS[0])] = [cut(LAYERS[0]), other]
    assert isinstance(refused(registry, cache), errors.CorruptBlob)
    registry.blobs[digest(LAYERS[0])] = [other, LAYERS[0]]
    assert isinstance(refused(registry, cache), errors.CorruptBlob)
    assert fetch(registry, cache).layers[0].digest == digest(LAYERS[0])


def test_a_rest_that_belongs_to_something_else(registry: HostileRegistry, cache: Path) -> None:
    """Of a layer that breaks off; a skopeo that cannot ask for the rest asks for all of it again."""
    large = Tar().file("a", os.urandom(4 << 20)).bytes()
    registry.image([large])
    ranges = []

    def rest(handler: Handler) -> None:
        ranges.append(handler.headers["Range"])
        if ranges[-1] is None:
            handler.answer("application/octet-stream", large)
            return
        begin = int(ranges[-1].removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {begin}-{len(large) - 1}/{len(large)}")
        handler.send_header("Content-Length", str(len(large) - begin))
        handler.end_headers()
        handler.wfile.write(bytes(len(large) - begin))

    registry.blobs[digest(large)] = [cut(large), rest]
    if not isinstance(fetched := fetch_or_error(registry, cache), transport.Fetched):
        assert ranges == [f"bytes={len(large) // 2}-"] and isinstance(fetched, errors.CorruptBlob)
        registry.blobs[digest(large)] = [cut(large), rest]
        refused(registry, cache)
    else:
        assert ranges == [None] and fetched.layers[0].digest == digest(large)


def test_a_config_of_other_bytes_or_without_an_end(registry: HostileRegistry, cache: Path) -> None:
    config = registry.image(LAYERS)["config"]["digest"]
    for answer in (b"{}", endless):
        registry.blobs[config] = [answer]
        assert isinstance(refused(registry, cache), errors.CorruptBlob | errors.SourceUnavailable)


def test_a_config_that_belongs_to_other_layers(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS, layers=[described(LAYER, LAYERS[0])])
    assert isinstance(refused(registry, cache), errors.CorruptBlob)
    registry.add(b"[]")
    registry.image(LAYERS, config=described(CONFIG, b"[]"))
    assert isinstance(refused(registry, cache), errors.CorruptBlob | errors.SourceUnavailable)


def test_a_layer_without_an_end(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    registry.blobs[digest(LAYERS[0])] = [endless]
    error = refused(registry, cache)
    assert isinstance(error, errors.CorruptBlob) and "more arrives than its manifest promised" in error.message


def test_a_redirect_to_a_file_of_this_host(registry: HostileRegistry, cache: Path) -> None:
    registry.image(LAYERS)
    honest = registry.manifests["latest"]
    for target in ("file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1:1/x", "/v2/demo/image/manifests/latest"):
        registry.manifests["latest"] = (MANIFEST, redirect(target))
        assert isinstance(refused(registry, cache), errors.SourceUnavailable)
        registry.manifests["latest"] = honest
        registry.blobs[digest(LAYERS[1])] = [redirect(target)]
        assert isinstance(refused(registry, cache), errors.SourceUnavailable | errors.CorruptBlob)


def test_a_registry_that_says_nothing(registry: HostileRegistry, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skopeo, "PATIENCE", 0.5)
    enough = threading.Event()

    def wait(handler: Handler) -> None:
        enough.wait(60)

    registry.manifests["latest"] = (MANIFEST, wait)
    try:
        assert "the network gave no answer" in refused(registry, cache).message
    finally:
        enough.set()


def test_words_of_the_registry_are_made_printable(registry: HostileRegistry, cache: Path) -> None:
    body = b'{"errors": [{"code": "DENIED\x1b[31m", "message": "\x1b]0;owned\x07 \\u001b[2J \\u202e"}]}'

    def deny(handler: Handler) -> None:
        handler.send_response(400)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    registry.manifests["latest"] = (MANIFEST, deny)
    assert refused(registry, cache).message.isprintable()
