"""Bytes from a real web server on loopback that behaves as servers do, and as they should not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger import errors
from banger.bundles import download
from banger.bundles.download import Patience
from tests.web import Handler, Web

DATA = os.urandom(700_000)
HASTY = Patience(silence=0.3, pause=0.0, window=60.0, crawl=1)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Web() as serving:
        yield serving


def fetch(url: str, size: int = len(DATA), patience: Patience = HASTY) -> bytes:
    return b"".join(download.pieces(url, size, patience))


def test_all_bytes_come_in_order(web: Web) -> None:
    assert fetch(web.serve("/a", DATA)) == DATA
    assert web.seen == [("/a", "")]


def test_a_broken_connection_is_resumed_where_it_broke(web: Web) -> None:
    assert fetch(web.serve("/a", DATA, most=300_000)) == DATA
    assert [wanted for _, wanted in web.seen] == ["", "bytes=300000-", "bytes=600000-"]


def test_a_server_that_cannot_resume_is_listened_to_from_the_start_again(web: Web) -> None:
    def answer(handler: Handler) -> None:
        handler.begin(200, Content_Length=str(len(DATA)))
        handler.wfile.write(DATA[:400_000] if len(web.seen) == 1 else DATA)

    web.paths["/a"] = answer
    assert fetch(web.url("/a")) == DATA and len(web.seen) == 2


def test_a_server_that_falls_silent_is_asked_again(web: Web) -> None:
    def answer(handler: Handler) -> None:
        begin = handler.offset()
        if not begin:
            handler.begin(200, Content_Length=str(len(DATA)))
            handler.wfile.write(DATA[:1000])
            web.stopped.wait()
        else:
            where = f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"
            handler.begin(206, Content_Range=where, Content_Length=str(len(DATA) - begin))
            handler.wfile.write(DATA[begin:])

    web.paths["/a"] = answer
    assert fetch(web.url("/a")) == DATA


def test_one_that_is_always_silent_or_always_breaks_is_given_up(web: Web) -> None:
    def silent(handler: Handler) -> None:
        web.stopped.wait()

    web.paths["/silent"] = silent
    web.serve("/broken", DATA, most=0)
    for path, said in (("/silent", "silent"), ("/broken", "ended after 0")):
        with pytest.raises(errors.SourceUnavailable, match=said):
            fetch(web.url(path))
        assert sum(seen == path for seen, _ in web.seen) == download.ATTEMPTS


def test_one_that_crawls_is_left(web: Web) -> None:
    def answer(handler: Handler) -> None:
        handler.begin(200, Content_Length=str(len(DATA)))
        for at in range(200):
            handler.wfile.write(DATA[at : at + 1])
            web.stopped.wait(0.02)

    web.paths["/a"] = answer
    with pytest.raises(errors.SourceUnavailable, match="bytes in"):
        fetch(web.url("/a"), patience=Patience(silence=5, pause=0, window=0.1, crawl=1 << 20))


def test_overload_is_waited_out_and_refusal_is_not(web: Web) -> None:
    def busy_once(handler: Handler) -> None:
        if len(web.seen) == 1:
            handler.begin(503, Content_Length="0")
        else:
            handler.begin(200, Content_Length=str(len(DATA)))
            handler.wfile.write(DATA)

    web.paths["/a"] = busy_once
    assert fetch(web.url("/a")) == DATA
    with pytest.raises(errors.SourceUnavailable, match="404"):
        fetch(web.url("/absent"))
    assert len(web.seen) == 3


def test_a_length_that_is_not_the_announced_one_ends_it_at_once(web: Web) -> None:
    url = web.serve("/a", DATA)
    for size in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises(errors.CorruptBlob, match=str(size)):
            fetch(url, size)


def test_a_server_that_never_ends_is_read_to_the_announced_length(web: Web) -> None:
    def answer(handler: Handler) -> None:
        handler.begin(200)
        while not web.stopped.is_set():
            handler.wfile.write(DATA)

    web.paths["/a"] = answer
    assert fetch(web.url("/a")) == DATA


def test_another_part_than_the_one_asked_for_is_refused(web: Web) -> None:
    def answer(handler: Handler) -> None:
        if not handler.offset():
            handler.begin(200, Content_Length=str(len(DATA)))
            handler.wfile.write(DATA[:1000])
        else:
            handler.begin(206, Content_Range=f"bytes 5-{len(DATA) - 1}/{len(DATA)}")
            handler.wfile.write(DATA[5:])

    web.paths["/a"] = answer
    with pytest.raises(errors.SourceUnavailable, match="another part"):
        fetch(web.url("/a"))


def test_redirects_are_followed_within_the_web_alone_and_not_for_ever(web: Web, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    web.serve("/a", DATA)
    assert fetch(web.redirect("/moved", web.url("/a"))) == DATA
    for target in (f"file://{secret}", "ftp://127.0.0.1/a", "data:text/plain,abc", web.url("/loop")):
        with pytest.raises(errors.SourceUnavailable):
            fetch(web.redirect("/loop", target))
    for number in range(download.REDIRECTS + 1):
        web.redirect(f"/{number}", web.url(f"/{number + 1}"))
    web.serve(f"/{download.REDIRECTS + 1}", DATA)
    with pytest.raises(errors.SourceUnavailable):
        fetch(web.url("/0"))


def test_a_proxy_of_the_environment_is_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.serve("http://bundles.example/a", DATA)
    monkeypatch.setenv("http_proxy", web.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch("http://bundles.example/a") == DATA


def test_files_are_read_by_path_and_by_url(tmp_path: Path) -> None:
    file = tmp_path / "a b"
    file.write_bytes(DATA)
    assert fetch(str(file)) == fetch(f"file://{tmp_path}/a%20b") == fetch(f"file://localhost{tmp_path}/a%20b") == DATA
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(errors.CorruptBlob):
        fetch(str(file), 3)
    for path, said in (("absent", "No such file"), ("fifo", "no regular file"), (".", "no regular file")):
        with pytest.raises(errors.SourceUnavailable, match=said):
            fetch(str(tmp_path / path))


@pytest.mark.parametrize("url", ["ftp://x/a", "relative", "file://other.host/a", "http:", "file:relative", "data:,x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(errors.SourceUnavailable, match="neither an http"):
        fetch(url)
