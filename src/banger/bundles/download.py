"""The bytes of a bundle, from a web server or from a file of this host, in order and no more than were announced.

A server is untrusted and may be slow: redirects are few and stay with http and https, every wait is bounded, a
connection that breaks or crawls is resumed where it stopped (Range), and a length that is not the announced one ends
it all at once. Proxies are those of the environment. The bytes' digest is for the caller to check.
"""

import contextlib
import email.message
import http.client
import io
import os
import re
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import IO, NamedTuple

from banger import errors
from banger.log import printable

SCHEMES = ("http", "https")
PIECE = 256 << 10
REDIRECTS = 5
ATTEMPTS = 5
"""How often in a row a connection may bring next to nothing."""

CONNECTIONS = 200
"""How many connections one download may take."""


class Patience(NamedTuple):
    """Seconds: for an answer or the next bytes, between two attempts, and in which ``crawl`` bytes must come."""

    silence: float = 30.0
    pause: float = 1.0
    window: float = 60.0
    crawl: int = 64 << 10


DEFAULT = Patience()


class _Broken(Exception):
    """The connection ended early, and another may do better."""


def local(url: str) -> str | None:
    """The path that ``url`` names on this host, None when it is on a server. Raises `errors.SourceUnavailable`."""
    if url.startswith("/"):
        return url
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in SCHEMES and parts.hostname:
        return None
    path = urllib.parse.unquote(parts.path)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and path.startswith("/") and "\0" not in path:
        return path
    raise errors.SourceUnavailable(
        reference=printable(url, 200), reason="it is neither an http, https or file URL nor an absolute path"
    )


def pieces(url: str, size: int, patience: Patience = DEFAULT) -> Iterator[bytes]:
    """The ``size`` bytes of ``url``. Raises `errors.SourceUnavailable`, `errors.CorruptBlob`."""
    path = local(url)
    return _from_server(url, size, patience) if path is None else _from_file(path, size)


def length(url: str, most: int, patience: Patience = DEFAULT) -> int:
    """How many bytes ``url`` has, which nothing but its holder announces. Raises as `pieces`, also beyond ``most``."""
    path = local(url)
    try:
        size = os.stat(path).st_size if path is not None else _announced(url, patience)
    except OSError as error:
        raise errors.SourceUnavailable(reference=printable(path or url, 200), reason=_words(error)) from None
    except (_Broken, http.client.HTTPException) as fault:
        raise errors.SourceUnavailable(reference=printable(url, 200), reason=_words(fault)) from None
    if size > most:
        raise errors.SourceUnavailable(
            reference=printable(url, 200), reason=f"it has {size} bytes, too many for what it is"
        )
    return size


def _announced(url: str, patience: Patience) -> int:
    with contextlib.closing(_opened(_opener(), url, {}, patience)) as reply:
        announced = reply.headers.get("Content-Length", "").strip()
    if reply.status != 200 or not announced.isdecimal():
        raise _Broken("the server does not say how long it is")
    return int(announced)


def _from_file(path: str, size: int) -> Iterator[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise errors.SourceUnavailable(reference=path, reason=error.strerror or str(error)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise errors.SourceUnavailable(reference=path, reason="it is no regular file")
        _check_length(path, status.st_size, size)
        left = size
        while left:
            piece = os.read(descriptor, min(PIECE, left))
            if not piece:
                raise errors.SourceUnavailable(reference=path, reason="it became shorter while it was read")
            left -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


def _from_server(url: str, size: int, patience: Patience) -> Iterator[bytes]:
    opener = _opener()
    done = fruitless = 0
    tag = ""
    for connection in range(1, CONNECTIONS + 1):
        before = done
        try:
            with contextlib.closing(_ask(opener, url, done, size, tag, patience)) as reply:
                tag = reply.tag
                for piece in reply.pieces(size - done):
                    done += len(piece)
                    yield piece
            if done == size:
                return
            broken = _Broken(f"the connection ended after {done} of {size} bytes")
        except (_Broken, OSError, http.client.HTTPException) as fault:
            broken = _Broken(_words(fault))
        fruitless = 0 if done - before >= patience.crawl else fruitless + 1
        if fruitless == ATTEMPTS or connection == CONNECTIONS:
            raise errors.SourceUnavailable(reference=printable(url, 200), reason=str(broken))
        time.sleep(patience.pause * max(1, fruitless))


class _Reply:
    """A body from its place in the whole on."""

    def __init__(self, body: IO[bytes], skip: int, tag: str, patience: Patience) -> None:
        self._body = body
        self._skip = skip
        self._patience = patience
        self.tag = tag

    def close(self) -> None:
        self._body.close()

    def pieces(self, left: int) -> Iterator[bytes]:
        """At most ``left`` bytes; fewer when the connection ended early."""
        came, since = 0, time.monotonic()
        left += self._skip
        while left:
            piece = _read(self._body, min(PIECE, left))
            if not piece:
                return
            left -= len(piece)
            came += len(piece)
            now = time.monotonic()
            if now - since > self._patience.window:
                if came < self._patience.crawl:
                    raise _Broken(f"the server sent {came} bytes in {now - since:.0f} s")
                came, since = 0, now
            wanted = piece[self._skip :]
            self._skip -= len(piece) - len(wanted)
            if wanted:
                yield wanted


def _read(body: IO[bytes], count: int) -> bytes:
    """What has come, at most ``count`` bytes; empty at the end."""
    assert isinstance(body, io.BufferedIOBase)
    return body.read1(count)


def _ask(opener: urllib.request.OpenerDirector, url: str, done: int, size: int, tag: str, patience: Patience) -> _Reply:
    """Ask for the bytes from ``done`` on. A server that sends all of them again is listened to for the rest."""
    part = {"Range": f"bytes={done}-"} if done else {}
    if done and tag:
        part["If-Range"] = tag
    reply = _opened(opener, url, part, patience)
    try:
        return _Reply(reply, done - _begin(url, reply, done, size), _tag(reply.headers), patience)
    except BaseException:
        reply.close()
        raise


def _opened(
    opener: urllib.request.OpenerDirector, url: str, more: dict[str, str], patience: Patience
) -> "http.client.HTTPResponse":
    """The reply to a request for ``url``, its body still to be read. Raises `_Broken`, `errors.SourceUnavailable`."""
    headers = {"User-Agent": "banger", "Accept": "*/*", "Accept-Encoding": "identity", **more}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        reply: http.client.HTTPResponse = opener.open(request, timeout=patience.silence)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (408, 429) or error.code >= 500:
            raise _Broken(f"the server answered {error.code}") from None
        raise errors.SourceUnavailable(
            reference=printable(url, 200), reason=f"the server answered {error.code} {printable(error.reason, 80)}"
        ) from None
    except urllib.error.URLError as error:
        raise _Broken(_words(error)) from None
    return reply


def _begin(url: str, reply: "http.client.HTTPResponse", done: int, size: int) -> int:
    """At which byte the body begins. Raises when it is not the announced one."""
    if reply.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise errors.SourceUnavailable(reference=printable(url, 200), reason="the server sends it re-encoded")
    begin, whole = 0, reply.headers.get("Content-Length")
    if reply.status == 206:
        given = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", reply.headers.get("Content-Range", "").strip())
        if given is None or int(given[1]) != done:
            raise errors.SourceUnavailable(reference=printable(url, 200), reason="the server sent another part of it")
        begin, whole = done, given[2] if given[2] != "*" else None
    elif reply.status != 200:
        raise errors.SourceUnavailable(reference=printable(url, 200), reason=f"the server answered {reply.status}")
    if whole is not None and whole.strip().isdecimal():
        _check_length(printable(url, 200), int(whole), size)
    return begin


def _check_length(name: str, found: int, size: int) -> None:
    if found != size:
        raise errors.CorruptBlob(digest=name, reason=f"it has {found} bytes, and the catalog says {size}")


def _tag(headers: email.message.Message) -> str:
    """A strong validator of what was sent, for the next part to be of the same."""
    tag = headers.get("ETag", "")
    return tag if re.fullmatch(r'"[!#-~]{1,200}"', tag) else ""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A few, and to web servers only; from https never back to http."""

    max_redirections = REDIRECTS
    max_repeats = 2

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in SCHEMES or (req.type == "https" and scheme == "http"):
            fp.close()
            raise errors.SourceUnavailable(
                reference=printable(req.full_url, 200), reason=f"the server sends us on to {printable(newurl, 200)}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """urllib's parts for the web and no others."""
    opener = urllib.request.OpenerDirector()
    for part in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler, _Redirects,
        urllib.request.HTTPErrorProcessor, urllib.request.HTTPDefaultErrorHandler, urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(part())
    return opener


def _words(fault: BaseException) -> str:
    cause = getattr(fault, "reason", fault)
    if isinstance(cause, TimeoutError):
        return "the server has fallen silent"
    if isinstance(cause, OSError) and cause.strerror:
        return printable(cause.strerror, 200)
    return printable(str(cause) or type(cause).__name__, 200)
