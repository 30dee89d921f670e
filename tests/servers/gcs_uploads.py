"""The uploads of Google's XML API in front of fake-gcs-server, which has those of the JSON API alone.

obstore speaks the XML API. This translates an upload, whole or in parts, into one `uploadType=multipart` of the JSON
API and passes on everything else. Whether an object may be put (`x-goog-if-generation-match`) is thereby decided
by the server that others wrote: of many who put at once it lets one, and tells the others 412. (With
`uploadType=media` it does not look at the condition at all.)
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
CONDITION = "x-goog-if-generation-match"


@contextlib.contextmanager
def serving(port: int, behind: int, tls: ssl.SSLContext) -> Iterator[None]:
    """On `port`, in front of a fake-gcs-server at port `behind`, which takes 127.0.0.1:`port` for its own name."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.behind, server.parts = behind, {}
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    behind: int
    parts: dict[str, dict[int, bytes]]
    """Of uploads that are not complete, by their id and the part's number."""

    def handle_error(self, *_: Any) -> None:
        """A client that was killed is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._pass_on()

    do_HEAD = do_DELETE = do_GET

    def do_PUT(self) -> None:
        query, body = self._query(), self._body()
        if "uploadId" not in query:
            self._upload(body, self.headers.get(CONDITION))
            return
        self.server.parts[query["uploadId"]][int(query["partNumber"])] = body
        self._answer(200, b"", ETag=f'"{secrets.token_hex(8)}"')

    def do_POST(self) -> None:
        query = self._query()
        if self.path.startswith(("/upload/", "/storage/")):
            self._pass_on()
            return
        body = self._body()
        if "uploads" in query:
            name = secrets.token_hex(8)
            self.server.parts[name] = {}
            self._answer(200, _xml("InitiateMultipartUploadResult", UploadId=name))
            return
        parts = self.server.parts.pop(query["uploadId"])
        assert body.count(b"<PartNumber>") == len(parts)
        self._upload(b"".join(parts[number] for number in sorted(parts)), self.headers.get(CONDITION), in_parts=True)

    def _upload(self, body: bytes, condition: str | None, in_parts: bool = False) -> None:
        bucket, _, key = urlsplit(self.path).path.removeprefix("/").partition("/")
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart"
        path += f"&ifGenerationMatch={condition}" if condition is not None else ""
        mark = secrets.token_hex(16)
        name = json.dumps({"name": unquote(key)})
        head = f"--{mark}\r\nContent-Type: application/json\r\n\r\n{name}\r\n--{mark}\r\n"
        sent = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + body + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/related; boundary={mark}", "Host": self.headers["Host"]}
        status, _, answer = self._ask("POST", path, sent, kind)
        if status != 200:
            self._answer(status, answer)
            return
        put = json.loads(answer)
        marks = {"ETag": f'"{put["etag"]}"', "x-goog-generation": put["generation"]}
        self._answer(200, _xml("CompleteMultipartUploadResult", ETag=put["etag"]) if in_parts else b"", **marks)

    def _pass_on(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        status, headers, body = self._ask(self.command, self.path, self._body(), headers)
        length = headers.pop("content-length", None) if self.command == "HEAD" else None
        self._answer(status, body, length, **{name: value for name, value in headers.items() if name not in HOP})

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        asked = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        with contextlib.closing(asked):
            asked.request(method, path, body, headers)
            answer = asked.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def _answer(self, status: int, body: bytes, length: str | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _query(self) -> dict[str, str]:
        found = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {name: values[0] for name, values in found.items()}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            raise NotImplementedError("no client here sends chunks")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


def _xml(name: str, **values: str) -> bytes:
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
    return f"<?xml version='1.0' encoding='UTF-8'?><{name}>{inner}</{name}>".encode()
