"""A web server over a folder, on the loopback address: what it was asked, and ways in which real ones fall short."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Web:
    """`asked` lists method and path of every request.

    `tags`: answer with an ETag. `times`: with Last-Modified. `cut`: break the connection after so many bytes of a body.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str]] = []
        self.tags, self.times, self.cut = True, True, 0

    @property
    def fetched(self) -> list[str]:
        return [path for method, path in self.asked if method == "GET"]


class _Handler(http.server.SimpleHTTPRequestHandler):
    web: Web

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.web.asked.append(("HEAD", self.path))
        super().do_HEAD()

    def do_GET(self) -> None:
        self.web.asked.append(("GET", self.path))
        super().do_GET()

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Last-Modified" and not self.web.times:
            return
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if self.web.tags and file.is_file():
            super().send_header("ETag", f'"{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"')
        super().end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.web.cut:
            outputfile.write(source.read(self.web.cut))
            self.close_connection = True
        else:
            super().copyfile(source, outputfile)


@contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """The folder's files at `web.url`, until the end of the context."""
    handler = type("Handler", (_Handler,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    web = handler.web = Web(folder, server.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
