"""Where a server sends a call on to: to another server goes nothing but what asks for a file's content, without a key.

SDKs follow what a server says. Their HTTP libraries leave `Authorization` behind when they go to another server, but no
other header, such as a gateway's key, and send what a call carries, training data and prompts, once more.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from ftspec import api

READING = {"GET", "HEAD"}
"""Methods of calls that carry nothing."""
PLAIN = {"accept", "accept-encoding", "connection", "host", "range", "user-agent"}
"""Headers that say nothing of who asks."""
FIRST = "ftspec.first"
"""Among a request's extensions: method and address of the call as we made it."""
PORTS = {"http": 80, "https": 443}


def sent_on(method: str, address: str, location: str, headers: MutableMapping[str, str] | None = None) -> None:
    """To be called before a redirect is followed.

    Args:
        location: where the answer to a call to `address` says that it is to be had.
        headers: of the call. To another server goes only one that reads something other than JSON, a file's content;
            first those are removed that may say who asks.
    Raises Rejected for a call that must not go to where it is sent."""
    here, there = origin(address), origin(urljoin(address, location))
    if here == there or _safer(here, there):
        return
    if method.upper() not in READING or headers is None or "json" in headers.get("accept", ""):
        raise api.Rejected(
            f"{here} sends the call on to {there}, where neither key nor data go",
            "if that is the right server, give its address in the spec",
        )
    for name in list(headers):
        if name.lower() not in PLAIN:
            del headers[name]


def origin(address: str) -> str:
    """Scheme, host and port of an address: which server it is, without anything secret."""
    parts = urlsplit(address)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    try:
        port = parts.port or PORTS.get(scheme)
    except ValueError:
        port = None
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" + (f":{port}" if port != PORTS.get(scheme) else "")


def hooks() -> dict[str, list[Callable[[Any], None]]]:
    """`event_hooks` of httpx that see to it."""
    return {"request": [_leaving]}


def asynchronous_hooks() -> dict[str, list[Callable[[Any], Any]]]:
    """The same of its asynchronous client."""
    return {"request": [_leaving_in_loop]}


def _leaving(request: Any) -> None:
    """Called for each request, those that follow a redirect too: these have the extensions of the first."""
    method, address = request.extensions.setdefault(FIRST, (request.method, str(request.url)))
    sent_on(method, address, str(request.url), request.headers)


async def _leaving_in_loop(request: Any) -> None:
    _leaving(request)


def _safer(here: str, there: str) -> bool:
    """Whether it is the same server by TLS."""
    return here.startswith("http:") and there == here.replace("http:", "https:", 1)
