"""A request as the handlers see it: its route's reference, its checked query, its decoded body.

Everything that a client sends is checked here, by the route's row: parameters that the row does not name, bodies that
are not its structure, and bodies that are too large are errors of the client, whatever they contain.
"""

import re
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from banger import errors
from banger.api.routes import Route, structure
from banger.daemon.services import Services

B = TypeVar("B")

TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


class Call(Generic[B]):
    """One request. ``body`` is the structure that the route's row names."""

    def __init__(self, services: Services, route: Route, request: Request, body: B) -> None:
        self.services = services
        self.route = route
        self.request = request
        self.body = body
        for name in request.query_params:
            if name not in route.query:
                takes = ", ".join(route.query) or "none"
                raise errors.UsageError(detail=f"unknown parameter {name[:80]!r} (this call takes: {takes})")

    @property
    def ref(self) -> str:
        """The name or id in the path."""
        return str(self.request.path_params["ref"])

    @property
    def session(self) -> str:
        """The session's name or id in the path."""
        return str(self.request.path_params["session"])

    def number(self, name: str, default: float | None) -> float | None:
        """A parameter that is a number and not negative; ``default`` where it is missing."""
        value = self.request.query_params.get(name, "")
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", value, re.ASCII):
            raise errors.UsageError(detail=f"{name} is a number, not {value[:80]!r}")
        return float(value)

    def flag(self, name: str) -> bool:
        """A parameter that is on or off; missing is off."""
        value = self.request.query_params.get(name, "").lower()
        if value not in TRUE + FALSE:
            raise errors.UsageError(detail=f"{name} is true or false, not {value[:80]!r}")
        return value in TRUE

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.request.query_params.get(name, "")
        if not value:
            raise errors.UsageError(detail=f"the parameter {name} is missing")
        return value

    def optional(self, name: str) -> str | None:
        """A parameter that may be missing, or empty."""
        return self.request.query_params.get(name) or None

    def texts(self, name: str) -> list[str]:
        """A parameter that may be repeated, or missing."""
        return self.request.query_params.getlist(name)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, not faster than it is taken."""
        try:
            async for chunk in self.request.stream():
                if chunk:
                    yield chunk
        except ClientDisconnect:
            raise errors.UsageError(detail="the client went away in the middle of what it sent") from None


class BodyDecoder:
    """Decodes the bodies of one route."""

    def __init__(self, route: Route) -> None:
        self._decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder(structure(route.request))
        self._limit = route.limit
        self._reads = route.method != "GET" and not route.stream

    async def decode(self, request: Request) -> object:
        """The body's structure; an empty body is an empty document. Raises `errors.UsageError`."""
        body = await self._read(request) if self._reads else b""
        return decode(self._decoder, body or b"{}") if self._reads else None

    async def _read(self, request: Request) -> bytes:
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length[:20]) > self._limit:
            raise errors.RequestTooLarge(limit=self._limit)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limit:
                raise errors.RequestTooLarge(limit=self._limit)
        return bytes(body)


T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    """A structure out of what a client sent. Raises `errors.UsageError`."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise errors.UsageError(detail=str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.UsageError(detail=f"the request is not JSON: {error}") from None
