"""A small HTTP server that speaks a vendor's wire types: what comes in and goes out is checked against the SDK's own.

For vendors of whom nobody else made a server. A test's server is a TypedServer with routes; `problems` holds every
request that the SDK's parameter types do not describe, and an answer that its response type does not describe is a
failure of the server itself.
"""

from __future__ import annotations

import json
import re
import threading
import typing
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pydantic
import typing_extensions


class Call(NamedTuple):
    """One request: what the route's groups matched, the query, the JSON body or the raw one, headers."""

    path: dict[str, str]
    query: dict[str, str]
    body: Any
    data: bytes
    headers: Any


class Reply(Exception):
    """An answer that is no typed 200: raised by a route."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


Route = tuple[str, str, Callable[[Call], Any]]


def request_faults(kind: Any, wire: dict[str, Any], ignore: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with a request's body or query by one of the SDK's TypedDicts, whose names have aliases."""
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    required = {name for name in hints if name in kind.__required_keys__}
    known = {_alias(hint) or name: (name, hint) for name, hint in hints.items()}
    faults = [f"{kind.__name__} has no '{key}'" for key in wire if key not in known and key not in ignore]
    faults += [
        f"{kind.__name__} wants '{key}'" for key, (name, _) in known.items() if name in required and key not in wire
    ]
    for key in wire.keys() & known.keys():
        faults += _value_faults(known[key][1], wire[key], f"{kind.__name__}.{key}")
    return faults


def typed(model: type[pydantic.BaseModel], wire: dict[str, Any]) -> dict[str, Any]:
    """The answer, which the SDK's response type has to describe in full."""
    model.model_validate(wire)
    known = {field.alias or name for name, field in model.model_fields.items()}
    unknown = wire.keys() - known
    assert not unknown, f"{model.__name__} has no {sorted(unknown)}"
    return wire


class TypedServer:
    """Serves `routes` ((method, path as a regular expression, function)) on the loopback address; a context manager.

    A route returns what is sent as JSON; it raises Reply for anything else. A request without the key is refused.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.problems: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.RLock()

    def routes(self) -> list[Route]:
        """Every route; the first that fits counts."""
        raise NotImplementedError

    def expect(self, kind: Any, wire: dict[str, Any], ignore: frozenset[str] = frozenset()) -> None:
        """Note what is wrong with a request, and refuse it."""
        faults = request_faults(kind, wire, ignore)
        if faults:
            self.problems += faults
            raise Reply(400, {"error": {"message": "; ".join(faults)}})

    def allowed(self, headers: Any) -> bool:
        """Whether the request carries the key."""
        return bool(headers.get("authorization") == f"Bearer {self.key}")

    def __enter__(self) -> typing.Self:
        self._routes = [(method, re.compile(path), do) for method, path, do in self.routes()]
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return lambda: owner._serve(self)
                raise AttributeError(name)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.server.shutdown()
        self._thread.join(5)
        self.server.server_close()

    def _serve(self, handler: Any) -> None:
        data = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        parts = urlsplit(handler.path)
        status, body, headers = self._answer(handler, parts, data)
        raw = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
        handler.send_response(status)
        for name, value in {"content-type": "application/json", **headers, "content-length": str(len(raw))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)

    def _answer(self, handler: Any, parts: Any, data: bytes) -> tuple[int, Any, dict[str, str]]:
        fitting = [
            (m, do) for verb, p, do in self._routes if verb == handler.command and (m := p.fullmatch(parts.path))
        ]
        if not fitting:
            self.problems.append(f"no route for {handler.command} {parts.path}")
            return 404, {"error": {"message": f"no route for {handler.command} {parts.path}"}}, {}
        match, do = fitting[0]
        isjson = (handler.headers.get("content-type") or "").partition(";")[0] == "application/json"
        body = json.loads(data) if data and isjson else None
        path = {name: unquote(value) for name, value in match.groupdict().items()}
        with self.lock:
            self.calls.append((handler.command, parts.path))
            if not self.allowed(handler.headers):
                return 401, {"error": {"message": "Invalid API key provided"}}, {}
            try:
                return 200, do(Call(path, dict(parse_qsl(parts.query)), body, data, handler.headers)), {}
            except Reply as reply:
                return reply.status, reply.body, reply.headers


def _alias(hint: Any) -> str | None:
    """The wire's name in an annotation such as Required[Annotated[str, PropertyInfo(alias="x")]]."""
    for value in getattr(hint, "__metadata__", ()):
        if getattr(value, "alias", None):
            return str(value.alias)
    return next((found for inner in typing.get_args(hint) if (found := _alias(inner))), None) if _wraps(hint) else None


def _wraps(hint: Any) -> bool:
    return typing.get_origin(hint) in {typing_extensions.Required, typing_extensions.NotRequired, typing.Annotated}


def _value_faults(hint: Any, value: Any, where: str) -> list[str]:
    while _wraps(hint) or hasattr(hint, "__metadata__"):
        hint = typing.get_args(hint)[0]
    if typing_extensions.is_typeddict(hint) and isinstance(value, dict):
        return [f"{where}: {fault}" for fault in request_faults(hint, value)]
    try:
        pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.ValidationError as error:
        return [f"{where}: {error.errors()[0]['msg']}"]
    except pydantic.PydanticSchemaGenerationError:
        return []
    return []
