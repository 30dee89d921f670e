"""A web server over a folder, on the loopback address: what it was asked, and ways in which real ones fall short."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class Web:
    """`asked` lists method and path of every request, `logins` its Authorization, `ranges` the first byte of
    each that began in the middle.

    `tags`: answer with an ETag. `times`: with Last-Modified. `parts`: give a file from the byte that is asked for.
    `cut`: break the connection after so many bytes of a body, `cuts` times (0: always). `refuses`: the status by which
    a path, or a method, is refused. `endless`: a body comes in chunks, and the last one, which says that it was the
    last, does not. `moved`: the address to which a path sends on. `then`: called after each cut.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.asked: list[tuple[str, str]] = []
        self.logins: list[str] = []
        self.ranges: list[int] = []
        self.tags, self.times, self.parts, self.cut, self.cuts = True, True, False, 0, 0
        self.endless = False
        self.refuses: dict[str, int] = {}
        self.moved: dict[str, str] = {}
        self.then: Callable[[], None] = lambda: None

    @property
    def fetched(self) -> list[str]:
        return [path for method, path in self.asked if method == "GET"]


class _Handler(http.server.SimpleHTTPRequestHandler):
    web: Web

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(super().do_HEAD)

    def do_GET(self) -> None:
        self._answer(super().do_GET)

    def _answer(self, serve: Any) -> None:
        self.web.asked.append((self.command, self.path))
        self.web.logins.append(self.headers.get("Authorization", ""))
        path = self.path.partition("?")[0]
        if status := self.web.refuses.get(path) or self.web.refuses.get(self.command):
            self.send_error(status)
        elif path in self.web.moved:
            self.send_response(302)
            self.send_header("Location", self.web.moved[path])
            self.send_header("Content-Length", "0")
            super().end_headers()
        elif found := re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", "") if self.web.parts else ""):
            self._rest(int(found[1]))
        elif self.web.endless and self.command == "GET":
            self._endless(Path(self.translate_path(self.path)).read_bytes())
        else:
            serve()

    def _endless(self, body: bytes) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header(
            "Content-Length", str(len(body))
        )  # obstore wants it; where there are chunks, nothing counts it
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
        self.close_connection = True

    def _rest(self, first: int) -> None:
        self.web.ranges.append(first)
        body = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self._write(body[first:])

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Last-Modified" and not self.web.times:
            return
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if self.web.tags and file.is_file():
            super().send_header("ETag", f'"{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"')
        super().end_headers()

    def copyfile(self, source: Any, outputfile: BinaryIO) -> None:
        self._write(source.read())

    def _write(self, body: bytes) -> None:
        if not self.web.cut:
            self.wfile.write(body)
            return
        self.wfile.write(body[: self.web.cut])
        self.close_connection = True
        if self.web.cuts:
            self.web.cuts -= 1
            self.web.cut = self.web.cut if self.web.cuts else 0
        self.web.then()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that goes away, or that speaks TLS where there is none, is what tests want."""


@contextmanager
def serving(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """The folder's files at `web.url`, until the end of the context."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    web = handler.web = Web(folder, url)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
