"""The interface as an OpenAPI 3.1 document, made from the table of routes and the structures that it names."""

import json
import re
from typing import Any

import msgspec

from banger.api.routes import API_VERSION, ROUTES, Route, structure

REFERENCE = "#/components/schemas/{name}"
CHANGE = "operation.Operation"

QUERY: dict[str, tuple[dict[str, object], str, bool]] = {
    "follow": ({"type": "boolean", "default": False}, "Go on until the machine, or the session, ends", False),
    "persistent": ({"type": "boolean", "default": False}, "Stay after `ended` for another command", False),
    "stream": ({"type": "string", "enum": ["stdout", "stderr"]}, "Only what was written there", False),
    "tail": ({"type": "integer", "minimum": 0}, "Only so many of the last lines, and what follows them", False),
    "eof": ({"type": "boolean", "default": False}, "Close the session's stdin after it", False),
    "timeout": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": 3600, "default": 10},
        "How many seconds the session may take nothing before the rest is thrown away",
        False,
    ),
    "label": (
        {"type": "array", "items": {"type": "string"}},
        "Only what has this label, `KEY=VALUE` or `KEY`; repeated, all of them",
        False,
    ),
    "vm": ({"type": "array", "items": {"type": "string"}}, "A machine, by name or id; repeated, each of them", False),
    "port": (
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "A port of the host and the guest's, as `[ADDRESS:]PORT[:GUEST]`; repeated, each of them",
        True,
    ),
    "path": ({"type": "string"}, "An absolute path in the machine", True),
    "source": ({"type": "string"}, "The repository's absolute path on the host", True),
    "commit": ({"type": "string"}, "Its HEAD; left out where there are no commits", False),
    "branch": ({"type": "string"}, "The branch that HEAD is on, unless it is detached", False),
    "start": ({"type": "string"}, "The host's name for the commit, where the branch is the guest's alone", False),
    "untracked": ({"type": "boolean", "default": False}, "Files that git does not track come along", False),
    "base": ({"type": "string"}, "Id of the import that this one was made for, if there was one", False),
}
"""Schema, meaning and necessity of every query parameter."""

STREAMS = {
    "ndjson": ("application/x-ndjson", "One document a line, until the end"),
    "bytes": ("application/octet-stream", "Raw bytes as they come"),
    "tar": ("application/x-tar", "A tar archive"),
}

DESCRIPTION = """\
The daemon's interface on its private unix socket, for its owner and root.

A call that changes something answers 202 with an operation; follow it at `/v1/operations/{ref}/events` or ask for it
again. `{ref}` is a name, an id, or the beginning of one id. Sizes are bytes, times are seconds since the epoch,
durations are seconds. Every failure is an `ErrorBody`; its codes are in the reference of failures."""


def document() -> dict[str, Any]:
    """The whole document."""
    from banger.api.operation import ErrorBody
    from banger.api.vm import ExecEvent, ExecInput

    types: list[Any] = [ErrorBody, ExecEvent, ExecInput]
    for route in ROUTES:
        types += [structure(route.request), structure(route.reply)]
    unique = list(dict.fromkeys(types))
    _, components = msgspec.json.schema_components(unique, ref_template=REFERENCE)
    paths: dict[str, dict[str, object]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "banger", "version": str(API_VERSION), "description": DESCRIPTION},
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _operation(route: Route) -> dict[str, object]:
    found: dict[str, object] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.name.partition("_")[0]],
        "responses": {**_success(route), "default": {"description": "A failure", "content": _json("ErrorBody")}},
    }
    parameters = _parameters(route)
    if parameters:
        found["parameters"] = parameters
    if route.stream == "websocket":
        found["description"] = _websocket(route)
    elif route.method == "PUT" and route.stream:
        media, meaning = STREAMS[route.stream]
        found["requestBody"] = {"required": True, "description": meaning, "content": {media: {}}}
    elif route.method != "GET" and route.request != "daemon.Empty":
        found["requestBody"] = {"content": _json(route.request.rpartition(".")[2])}
    return found


def _parameters(route: Route) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    for name in route.query:
        schema, meaning, required = QUERY[name]
        found.append({"name": name, "in": "query", "required": required, "description": meaning, "schema": schema})
    return found


def _success(route: Route) -> dict[str, object]:
    reply = route.reply.rpartition(".")[2]
    if route.stream == "websocket":
        return {"101": {"description": "The stream"}}
    if route.name == "openapi":
        return {"200": {"description": "This document", "content": {"application/json": {}}}}
    if route.stream and route.method == "GET":
        media, meaning = STREAMS[route.stream]
        schema = _json(reply)["application/json"] if route.stream == "ndjson" else {}
        return {"200": {"description": meaning, "content": {media: schema}}}
    if route.reply == CHANGE and route.method != "GET":
        return {"202": {"description": "The change, which has begun", "content": _json(reply)}}
    return {"200": {"description": "As asked", "content": _json(reply)}}


def _json(name: str) -> dict[str, dict[str, object]]:
    return {"application/json": {"schema": {"$ref": REFERENCE.format(name=name)}}}


def _websocket(route: Route) -> str:
    first = route.request.rpartition(".")[2]
    more = (
        " With `persistent`, the stream stays after `ended` for another `ExecVm`, to come within 30 seconds, from a "
        "client that has sent nothing else before."
        if "persistent" in route.query
        else ""
    )
    gone = "ends its command" if route.name == "vm_exec" else "leaves the session as it is; `ExecInput` may be `resize`"
    return (
        f"A WebSocket. The client's first message is an `{first}` as text; then binary messages are stdin and text "
        "messages are `ExecInput`. The daemon sends output as binary messages whose first byte is 1 (stdout) or 2 "
        f"(stderr), and `ExecEvent` as text; the last one is `ended` or `failed`. A client that goes away {gone}.{more}"
    )


def page() -> str:
    """The interface as a reference page."""
    lines = [
        "# HTTP interface\n",
        DESCRIPTION.replace("`ErrorBody`", "[`ErrorBody`](errors.md)") + "\n",
        "The same as a document for programs: [openapi.json](openapi.json), or `GET /v1/openapi.json` of a daemon.\n",
        "| call | what it does | takes | answers |",
        "|---|---|---|---|",
    ]
    for route in ROUTES:
        query = f"?{'&'.join(route.query)}" if route.query else ""
        takes = "" if route.request == "daemon.Empty" else f"`{route.request.rpartition('.')[2]}`"
        if route.stream and route.method == "PUT":
            takes = "a tar archive" if route.stream == "tar" else "bytes"
        answers = "" if route.reply == "daemon.Empty" else f"`{route.reply.rpartition('.')[2]}`"
        if route.stream and route.method != "PUT":
            kinds = {"ndjson": f"{answers}, one a line", "tar": "a tar archive", "websocket": "a WebSocket"}
            answers = kinds.get(route.stream, "bytes")
        lines.append(f"| `{route.method} {route.path}{query}` | {route.summary} | {takes} | {answers} |")
    streams = [each for each in ROUTES if each.stream == "websocket"]
    return "\n".join(lines) + "".join(f"\n\n## {each.path}\n\n{_websocket(each)}\n" for each in streams)


def text() -> str:
    """The document as a file."""
    return json.dumps(document(), indent=1) + "\n"
