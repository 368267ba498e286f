"""The application: one endpoint for every row of the table of routes.

A handler is the function of a ``handlers_*`` module that has its row's name; a row without one keeps the daemon from
starting. Whatever a handler raises becomes an `ErrorBody` with the status of its class.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from banger import errors
from banger.api.routes import ROUTES, Route
from banger.daemon import (
    handlers_daemon,
    handlers_exec,
    handlers_images,
    handlers_sessions,
    handlers_vms,
    handlers_workspaces,
)
from banger.daemon.call import BodyDecoder, Call
from banger.daemon.reply import Stream, error_reply, json_reply
from banger.daemon.services import Services

MODULES = (handlers_daemon, handlers_vms, handlers_workspaces, handlers_images, handlers_sessions, handlers_exec)

Handler = Callable[[Call[Any]], Awaitable[object]]


def handler(route: Route) -> Any:
    """The function that answers a route. Raises LookupError."""
    for module in MODULES:
        found = getattr(module, route.name, None)
        if found is not None:
            return found
    raise LookupError(f"no handler for {route.name}")


def build(services: Services) -> Starlette:
    """The application on ``services``."""
    routes: list[BaseRoute] = []
    for route in ROUTES:
        answer = handler(route)
        if route.stream == "websocket":
            routes.append(WebSocketRoute(route.path, _WebSocketEndpoint(answer, services)))
            answer = _needs_websocket
        endpoint = HttpRoute(_pattern(route), _Endpoint(route, answer, services), methods=[route.method])
        endpoint.methods = {route.method}  # without HEAD: what it would say of a stream is of no use
        routes.append(endpoint)
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    app.router.redirect_slashes = False
    return app


def _pattern(route: Route) -> str:
    """The row's path as the router wants it. An image's name may be a reference, which holds slashes."""
    return route.path.replace("{ref}", "{ref:path}") if route.path.endswith("/images/{ref}") else route.path


async def _no_route(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    path = request.url.path[:200]
    if isinstance(error, HTTPException) and error.status_code == 405:
        return error_reply(errors.WrongMethod(path=path, method=request.method[:40]))
    return error_reply(errors.NoSuchRoute(path=path))


async def _needs_websocket(call: Call[Any]) -> object:
    raise errors.UsageError(detail=f"{call.route.path} speaks WebSocket: ask for an upgrade")


class _Endpoint:
    """A row as an ASGI application."""

    def __init__(self, route: Route, answer: Handler, services: Services) -> None:
        self._route = route
        self._answer = answer
        self._services = services
        self._decoder = BodyDecoder(route)
        self._starts_change = route.reply == "operation.Operation" and route.method != "GET"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception as error:
            reply = error_reply(error)
        await reply(scope, receive, send)

    async def _reply(self, request: Request) -> ASGIApp:
        body = await self._decoder.decode(request)
        result = await self._answer(Call(self._services, self._route, request, body))
        if isinstance(result, Stream):
            return await result.begin()
        return json_reply(result, 202 if self._starts_change else 200)


class _WebSocketEndpoint:
    """A row that speaks WebSocket as an ASGI application."""

    def __init__(self, answer: Callable[[WebSocket, Services], Awaitable[None]], services: Services) -> None:
        self._answer = answer
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(WebSocket(scope, receive, send), self._services)
