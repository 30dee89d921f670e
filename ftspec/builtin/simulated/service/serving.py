"""Serve over HTTP until nobody asks any more."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import struct
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

from .calls import name_of, respond
from .files import Upload
from .state import Json, Refusal, State

PIECE = 1 << 20
"""Bytes of a body that are read at a time."""


def main(home: Path, idle: float) -> None:
    """Serve until nobody has asked for `idle` seconds, or the folder is gone."""
    os.umask(0o077)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        if not held(lock):
            return  # another server has this folder: whoever started us finds that one
        server = Server(State(home))
        server.state.save("server", {"port": server.server_port, "token": server.token, "pid": os.getpid()})
        while time.monotonic() - server.touched < idle and home.is_dir():
            server.handle_request()
        (home / "server.json").unlink(missing_ok=True)


def held(lock: IO[str]) -> bool:
    """Whether the folder is ours. Others take a shared lock for an instant, to see whether a server lives."""
    while not locked(lock, fcntl.LOCK_EX):
        if not locked(lock, fcntl.LOCK_SH):
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.01)
    return True


def locked(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: State) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state
        self.token = secrets.token_hex(16)
        self.touched = time.monotonic()
        self.timeout = 0.5


class Handler(BaseHTTPRequestHandler):
    """One request: who asks, which fault it meets, what is done, what is said."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self, method: str) -> None:
        self.server.touched = time.monotonic()
        url = urlsplit(self.path)
        is_file = (method, url.path) == ("POST", "/files")
        body = self._upload() if is_file else self.rfile.read(self._length())
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._say(401, {"error": "not for you"})
            return
        call, state = name_of(method, url.path), self.server.state
        with state.lock:
            fault = state.fault(call, self.headers.get("X-Faults") or "")
            if call:
                with suppress(OSError):  # where its disk is full, what is asked for is refused, or can be done without
                    state.count(f"{call}:{fault}" if fault else call)
            if fault in ("reset", "429"):
                status, said = 429, {"error": "rate limit reached"}
            else:
                status, said = self._act(method, url.path.strip("/").split("/"), url.query, body)
        self._meet(fault, status, said)

    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _upload(self) -> Upload:
        """A file may be larger than memory."""
        upload, left = Upload(), self._length()
        while left and (piece := self.rfile.read(min(left, PIECE))):
            upload.take(piece)
            left -= len(piece)
            self.server.touched = time.monotonic()
        if left:
            upload.refusal = Refusal(400, "the body breaks off")
        return upload

    def _act(self, method: str, path: list[str], query: str, body: bytes | Upload) -> tuple[int, Json]:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        try:
            return 200, respond(self.server.state, method, path, asked, body)
        except Refusal as refusal:
            return refusal.status, {"error": str(refusal)}
        except OSError as refused:
            return 507, {"error": f"{refused.strerror}: {refused.filename or self.server.state.home}"}

    def _meet(self, fault: str, status: int, said: Json) -> None:
        """Answer, or what a network and a service in trouble make of an answer."""
        self.close_connection = True
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault == "timeout":
            self.connection.settimeout(300)
            self.connection.recv(1)
        elif fault == "broken":
            self._say(200, said, cut=2)
        elif fault == "500":
            self._say(500, {"error": "internal error"})
        elif fault == "odd_status":
            self._say(status, {**said, "status": "transmogrifying", "model": None})
        elif fault == "late_model":
            self._say(status, {**said, "model": None})
        elif fault != "lost":
            self._say(status, said)

    def _say(self, status: int, said: Json, cut: int = 1) -> None:
        data = json.dumps(said).encode()
        data = data[: len(data) // cut]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After-Ms", "50")
        self.end_headers()
        self.wfile.write(data)
