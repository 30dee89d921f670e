"""What the SDK sends through where it is asked thousands of small questions: aiohttp, and nothing in between.

httpx2's own client merges headers, cookies and addresses anew for each request, and looks after authentication,
redirects and streams that no such call has: a third of the CPU of a call.
Anything out of the ordinary (a form, a stream, from a redirect on) still goes the long way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import aiohttp
import httpx2
from multidict import CIMultiDict
from yarl import URL

from ftspec import hosted

LOST: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (TimeoutError, httpx2.ReadTimeout),
    (aiohttp.ClientError, httpx2.ReadError),
    (OSError, httpx2.ReadError),
)
"""aiohttp's errors and httpx2's for them, the first that fits: whether a call was sent at all must stay known."""
ANSWERED = "ftspec.answer"
"""Among a request's extensions: the answer that it already has,"""
HEADERS = "ftspec.headers"
"""and its headers as aiohttp takes them."""
ADDRESSES = 64
"""How many are remembered: a client asks at one, or at a few."""


class Address(NamedTuple):
    """One address as both libraries read it."""

    theirs: httpx2.URL
    wire: URL


class Headers(NamedTuple):
    """The same for headers: those of one call are those of the next, until the key changes."""

    theirs: httpx2.Headers
    wire: CIMultiDict[str]


def _address(text: str) -> Address:
    return Address(httpx2.URL(text), URL(text, encoded=True))


def _headers(pairs: tuple[tuple[str, str], ...]) -> Headers:
    return Headers(httpx2.Headers(pairs), CIMultiDict(pairs))


class Wire(httpx2.AsyncBaseTransport):
    """Requests through aiohttp, each answer read as a whole. Bodies stay compressed: httpx2 unpacks them.

    Args:
        timeout: seconds without an answer; `connect`: until there is a connection.
    """

    def __init__(self, concurrency: int, timeout: float, connect: float) -> None:
        self.concurrency, self.timeout = concurrency, aiohttp.ClientTimeout(sock_connect=connect, sock_read=timeout)
        self.address, self.headers = lru_cache(ADDRESSES)(_address), lru_cache(1)(_headers)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request, no retry; one that has its answer already is not sent again."""
        held: httpx2.Response | None = request.extensions.pop(ANSWERED, None)
        if held is not None:
            return held
        session = self._session or self._connect()
        url = self.address(str(request.url)).wire
        headers = request.extensions.pop(HEADERS, request.headers)
        content = await request.aread()
        try:
            async with session.request(
                request.method, url, data=content or None, headers=headers, allow_redirects=False
            ) as answer:
                data = await answer.read()
        except Exception as error:
            raise _as_httpx(error) from error
        stream = httpx2.ByteStream(data)
        response = httpx2.Response(answer.status, headers=answer.raw_headers, stream=stream, request=request)
        response.read()
        return response

    async def aclose(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _connect(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency, ssl=httpx2.create_ssl_context()),
            timeout=self.timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "gzip, deflate"},
        )
        return self._session


class Sender(httpx2.AsyncClient):
    """The `http_client` that the SDK is given."""

    def __init__(self, wire: Wire, timeout: httpx2.Timeout) -> None:
        super().__init__(
            transport=wire, timeout=timeout, follow_redirects=True, event_hooks=hosted.asynchronous_hooks()
        )
        self._wire = wire

    def build_request(self, method: str, url: httpx2.URL | str, **others: Any) -> httpx2.Request:
        """The request as the SDK has made it, where it is bytes with headers."""
        content, headers = others.get("content"), others.get("headers")
        if not isinstance(content, bytes) or others.get("params") or others.get("files") or others.get("data"):
            return super().build_request(method, url, **others)
        made = self._wire.headers(tuple(headers or ()))
        return httpx2.Request(
            method,
            self._wire.address(str(url)).theirs,
            headers=made.theirs,
            stream=httpx2.ByteStream(content),
            extensions={HEADERS: made.wire},
        )

    async def send(self, request: httpx2.Request, *, stream: bool = False, **others: Any) -> httpx2.Response:
        """Straight to the wire; where the answer says that it is to be had elsewhere, httpx2 goes on from there."""
        if not stream and not others:
            answer = await self._wire.handle_async_request(request)
            if not answer.has_redirect_location:
                return answer
            request.extensions[ANSWERED] = answer
        return await super().send(request, stream=stream, **others)


def _as_httpx(error: Exception) -> Exception:
    """The same as one of httpx2's errors; itself where it is no failure of the network."""
    kind = next((ours for theirs, ours in LOST if isinstance(error, theirs)), None)
    return error if kind is None else kind(str(error) or type(error).__name__)
