"""A proxy on the loopback address that breaks what it is told to break, and writes down everything that passes.

::

    with Proxy(aimock.url, OPENAI) as proxy:
        proxy.fault("create", "lost", once=True)
        ...  # an OpenAI client with base_url=proxy.url
        proxy.exchanges  # every request, and what the server and what the client saw

One request per connection, so that each of them can be broken by itself; no dependency.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import re
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

UPSTREAM = 30.0
"""Seconds that the server behind may take."""
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection", "expect", "te", "upgrade"}
"""Headers that are about one connection; the proxy sets its own."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time left: closing sends a reset instead of an end."""

Kind = Literal["answer", "refuse", "reset", "timeout", "broken", "lost", "cut", "stalled"]


class Operation(NamedTuple):
    """How requests of one kind are told: method, and the whole path (without query) as a regular expression.

    `header` narrows it down where all go to one path, as ("x-amz-target", ".*CreateJob").
    """

    name: str
    method: str
    path: str
    header: tuple[str, str] | None = None

    def fits(self, method: str, path: str, headers: Any) -> bool:
        if method != self.method or not re.fullmatch(self.path, path):
            return False
        return self.header is None or bool(re.fullmatch(self.header[1], headers.get(self.header[0], "")))


OPENAI = (
    Operation("upload", "POST", ".*/files"),
    Operation("create", "POST", ".*/fine_tuning/jobs"),
    Operation("find", "GET", ".*/fine_tuning/jobs"),
    Operation("poll", "GET", ".*/fine_tuning/jobs/[^/]+"),
    Operation("events", "GET", ".*/fine_tuning/jobs/[^/]+/events"),
    Operation("cancel", "POST", ".*/fine_tuning/jobs/[^/]+/cancel"),
    Operation("chat", "POST", ".*/chat/completions"),
)
"""The requests of everyone who speaks OpenAI's wire shape; the first that fits counts, others are "other"."""


@dataclass(frozen=True)
class Fault:
    """One way to break a request. `handled`: the server has done its part before.

    An "answer" is given in place of the server's; `{key}` in its body becomes the credential that the request carried,
    because hosted services do put it into their messages. "cut" and "stalled" give half of the server's body, and then
    a reset, or nothing more.
    """

    kind: Kind
    handled: bool = False
    status: int = 0
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def _error(message: str, type: str, code: str = "") -> str:
    said = {"message": f"{message} (API key {{key}})", "type": type, "param": None, "code": code or None}
    return json.dumps({"error": said})


FAULTS = {
    "refused": Fault("refuse"),
    "reset": Fault("reset"),
    "timeout": Fault("timeout"),
    "408": Fault("answer", status=408, body=_error("The request took too long to arrive", "timeout")),
    "409": Fault("answer", status=409, body=_error("Another request changes this", "conflict_error")),
    "429": Fault(
        "answer",
        status=429,
        body=_error("Rate limit reached for requests per minute", "requests", "rate_limit_exceeded"),
        headers={"retry-after-ms": "40"},
    ),
    "429 daily": Fault(
        "answer",
        status=429,
        body=_error("You have reached the limit of jobs per day", "requests", "daily_rate_limit_exceeded"),
    ),
    "500": Fault("answer", status=500, body=_error("The server had an error", "server_error")),
    "503": Fault("answer", status=503, body=_error("The engine is currently overloaded", "server_error")),
    "broken": Fault("broken", handled=True, status=200, body='{"id": "ftjob-'),
    "lost": Fault("lost", handled=True),
}
"""Every fault of the matrix. Errors have OpenAI's shape."""


@dataclass
class Exchange:
    """One request and its answer: `status` and `body` as the server gave them, `fault` where the client saw other."""

    number: int
    operation: str
    method: str
    url: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str = ""

    def header(self, name: str) -> str:
        """One of the request, "" where it has none."""
        return next((value for key, value in self.request_headers.items() if key.lower() == name), "")


class Hold:
    """One request that is held up. `reached` is set when it is there; the handler waits for `go`."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()
        self.dropped = False

    def drop(self) -> None:
        """Forget it: it is never sent on, or its answer never given."""
        self.dropped = True
        self.go.set()


class Proxy:
    """Stands between a client and a server at `upstream`; `url` has the same path.

    Args:
        upstream: the server's base URL, plain HTTP.
        operations: what the requests are called.
        faults: what can be done to them, by name.
        ranges: give the range that was asked for where the server gives all.
    """

    def __init__(
        self,
        upstream: str,
        operations: Sequence[Operation],
        faults: Mapping[str, Fault] = FAULTS,
        *,
        ranges: bool = False,
    ) -> None:
        self.ranges = ranges
        parts = urlsplit(upstream)
        self.host, self.path = parts.netloc, parts.path.rstrip("/")
        self.operations, self.faults = operations, faults
        self.exchanges: list[Exchange] = []
        self._lock = threading.Lock()
        self._faults: dict[str, tuple[str, bool]] = {}
        self._holds: dict[tuple[int, str], Hold] = {}
        self._closing: tuple[int, float | None] | None = None
        self._open: set[socket.socket] = set()
        self._stopped = False
        # Holds the port while nobody listens: connecting is refused then, and nobody else gets it.
        self._seat = _seat(0)
        self.port = self._seat.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{self.path}"
        self._listener: socket.socket | None = None

    def __enter__(self) -> Proxy:
        self.listen()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopped = True
        self.close()
        for hold in self._holds.values():
            hold.drop()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._seat.close()

    def fault(self, operation: str, name: str, *, once: bool) -> None:
        """Break the next request of this operation, or all of them. A connection is refused by `refuse`."""
        assert self.faults[name].kind != "refuse", "who has connected cannot be refused any more"
        self._faults[operation] = (name, once)

    def refuse(self, *, after: int, seconds: float | None) -> None:
        """Refuse connections once so many requests have been answered (0: from now on), for a while or for good."""
        if after == 0:
            self._refuse_now(seconds)
        else:
            self._closing = (after, seconds)

    def heal(self) -> None:
        """Break nothing any more."""
        self._faults.clear()
        self._closing = None
        self.listen()

    def hold(self, number: int, when: Literal["before", "after"]) -> Hold:
        """Hold up the request with this number (from 1): before the server gets it, or after it has answered."""
        return self._holds.setdefault((number, when), Hold())

    def count(self, operation: str) -> int:
        return sum(exchange.operation == operation for exchange in self.exchanges)

    def listen(self) -> None:
        if self._listener is None:
            self._listener = _seat(self.port)
            self._listener.listen(128)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Let nobody connect."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, and holds at once
            listener.close()

    def _refuse_now(self, seconds: float | None) -> None:
        self.close()
        if seconds is not None:
            timer = threading.Timer(seconds, self.listen)
            timer.daemon = True
            timer.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            with contextlib.suppress(OSError):
                _Handler(connection, address, self)  # type: ignore[arg-type]
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _arrived(self, method: str, target: str, headers: Any, body: bytes) -> Exchange:
        """Number and name the request, and say by which fault it is broken."""
        path = target.partition("?")[0]
        fitting = (operation.name for operation in self.operations if operation.fits(method, path, headers))
        with self._lock:
            exchange = Exchange(
                number=len(self.exchanges) + 1,
                operation=next(fitting, "other"),
                method=method,
                url=f"http://{self.host}{target}",
                request_headers=dict(headers.items()),
                request_body=body,
            )
            self.exchanges.append(exchange)
            exchange.fault, once = self._faults.get(exchange.operation, ("", False))
            if once:
                del self._faults[exchange.operation]
        return exchange

    def _ask(self, exchange: Exchange) -> None:
        """Have the server handle the request."""
        server = http.client.HTTPConnection(self.host, timeout=UPSTREAM)
        try:
            sent = {name: value for name, value in exchange.request_headers.items() if name.lower() not in HOP}
            target = exchange.url.removeprefix(f"http://{self.host}")
            server.request(exchange.method, target, exchange.request_body or None, sent | {"Connection": "close"})
            answer = server.getresponse()
            exchange.body = answer.read()
            drop = HOP - {"content-length"} if exchange.method == "HEAD" else HOP
            exchange.headers = {name: value for name, value in answer.getheaders() if name.lower() not in drop}
            exchange.status = answer.status
            if self.ranges and exchange.status == 200:
                _cut_out(exchange)
        finally:
            server.close()

    def _held(self, exchange: Exchange, when: str) -> bool:
        """Wait while the request is held up; True when it is to be forgotten."""
        hold = self._holds.get((exchange.number, when))
        if hold:
            hold.reached.set()
            hold.go.wait()
        return bool(hold and hold.dropped)

    def _before_answer(self, exchange: Exchange) -> None:
        if self._closing and exchange.number >= self._closing[0]:
            (_, seconds), self._closing = self._closing, None
            self._refuse_now(seconds)


class _Handler(BaseHTTPRequestHandler):
    """One connection: one request, and what becomes of it."""

    protocol_version = "HTTP/1.1"
    server: Any

    def handle(self) -> None:
        self.close_connection = True
        self.handle_one_request()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _pass(self) -> None:
        proxy: Proxy = self.server
        exchange = proxy._arrived(self.command, self.path, self.headers, self._body())
        fault = proxy.faults.get(exchange.fault)
        if proxy._held(exchange, "before"):
            return
        if fault is None or fault.handled:
            proxy._ask(exchange)
        if proxy._held(exchange, "after"):
            return
        proxy._before_answer(exchange)
        if fault is None:
            assert exchange.status is not None
            self._answer(exchange.status, exchange.headers, exchange.body)
        else:
            self._break(fault, exchange)

    def _break(self, fault: Fault, exchange: Exchange) -> None:
        if fault.kind in ("cut", "stalled"):
            assert exchange.status is not None
            self._answer(exchange.status, exchange.headers, exchange.body, half=True)
        if fault.kind in ("timeout", "stalled"):
            while self.connection.recv(4096):  # until the client has had enough
                pass
        elif fault.kind in ("reset", "lost", "cut"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        else:
            said = fault.body.replace("{key}", _credential(self.headers))
            self._answer(fault.status, {"Content-Type": "application/json"} | fault.headers, said.encode())

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, half: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.wfile.flush()
            wait_until(lambda: _unsent(self.connection) == 0)  # a reset would take it along


def _cut_out(exchange: Exchange) -> None:
    """Of a body that is given whole, what comes from the byte on that was asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-", exchange.header("range"))
    if asked and (start := int(asked[1])):
        whole = len(exchange.body)
        exchange.status, exchange.body = 206, exchange.body[start:]
        exchange.headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"


def _unsent(connection: socket.socket) -> int:
    """Bytes that have not reached the other side."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _credential(headers: Any) -> str:
    said = headers.get("authorization") or headers.get("api-key") or headers.get("x-api-key") or ""
    return str(said).removeprefix("Bearer ").replace('"', "")


def _seat(port: int) -> socket.socket:
    """A socket bound to a port of the loopback address, which others of this process may be bound to as well."""
    seat = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    seat.bind(("127.0.0.1", port))
    return seat


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether it becomes true within so many seconds."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
