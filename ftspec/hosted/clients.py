"""The clients of an SDK, made with a key that is kept nowhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ftspec import api
from ftspec.hosted import redirects
from ftspec.hosted.failures import key, unreadable

T = TypeVar("T")


class Clients:
    """The clients of an SDK that Stainless generated. The key is resolved when one is made, and kept nowhere else.

    Args:
        classes: imports the SDK, and gives its blocking and its asynchronous client.
        more: what both are made with, by the SDK's own names.
    """

    def __init__(self, classes: Callable[[], tuple[Any, Any]], api_key: str, timeout: float, **more: Any) -> None:
        self.classes, self.api_key, self.timeout, self.more = classes, api_key, timeout, more
        self._sync: Any = None

    def sync(self) -> Any:
        """The blocking client, the same each time."""
        if self._sync is None:
            client = self.classes()[0]
            hooks = {**redirects.hooks(), "response": [_read]}
            http = http_client(_sdk(client).DefaultHttpxClient, event_hooks=hooks)
            self._sync = self._made(client, http)
        return self._sync

    def asynchronous(self) -> Any:
        """A client for the running loop."""
        client = self.classes()[1]
        hooks = {**redirects.asynchronous_hooks(), "response": [_read_in_loop]}
        http = http_client(_sdk(client).DefaultAsyncHttpxClient, event_hooks=hooks)
        return self._made(client, http)

    def _made(self, client: Any, http: Any) -> Any:
        # Without retries: an SDK repeats even a call whose outcome nobody knows, and ftspec what may be repeated.
        return client(api_key=key(self.api_key), timeout=self.timeout, max_retries=0, http_client=http, **self.more)


def http_client(make: Callable[..., T], **how: Any) -> T:
    """An SDK's HTTP client. Raises Rejected where the environment names a proxy or certificates that it cannot use."""
    try:
        return make(**how)
    except Exception as error:  # httpx has several kinds for that
        raise no_connection(f"{type(error).__name__}: {error}") from error


def no_connection(said: str) -> api.Rejected:
    """The error for a proxy or certificates of the environment of which a client says that it cannot use them; and for
    a proxy's address, if that is one for SOCKS: what is spoken to it otherwise is HTTP, again and again."""
    hint = "correct or take away HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or SSL_CERT_FILE"
    if "socks" in said.lower():  # each client has other words for it, and packages that it wants
        said, hint = "the proxy is one for SOCKS, which is not spoken here", "name one for HTTP by HTTPS_PROXY"
    message = f"no connection can be made with the proxy or certificates that the environment names: {said}"
    return api.Rejected(message, hint)


def _read(response: Any) -> None:
    """SDKs take whatever comes with a 200 for what they asked for: a gateway's page would be an empty list of jobs, or
    a deployment that is taken down."""
    if _promised(response):
        response.read()
        _held_to_it(response)


async def _read_in_loop(response: Any) -> None:
    if _promised(response):
        await response.aread()
        _held_to_it(response)


def _promised(response: Any) -> bool:
    return response.is_success and "json" in response.request.headers.get("accept", "")


def _held_to_it(response: Any) -> None:
    """An object is what each of these services answers; nothing at all only where nothing was asked for."""
    content = response.content.lstrip()
    if content[:1] != b"{" and (content or response.request.method == "GET"):
        raise unreadable(response.text)


def _sdk(client: Any) -> Any:
    """The package of the SDK, which has the HTTP clients that its own are made with by default."""
    return sys.modules[client.__module__.partition(".")[0]]
