"""Calls through the official SDK: one attempt each, and every way in which one can go wrong as one of ftspec's errors.

Core decides what is tried again. So the SDK's own retries are off everywhere: with them a lost answer made three jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from ftspec import api, hosted
from ftspec_openai import faults

if TYPE_CHECKING:
    import httpx2
    import openai

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds that a call may take; one that makes a job has SUBMIT, one that sends a file UPLOAD."""
SUBMIT = 30.0
UPLOAD = 600.0
CONNECT = 10.0
REFERENCE = "${secret:"


class Address(Struct, frozen=True, kw_only=True):
    """Where a server is and who we are there. `api_key` and `headers` may refer to secrets, which are resolved for each
    request; by the SDK's blocking client, those of `headers` once."""

    base_url: str
    api_key: str
    organization: str = ""
    project: str = ""
    headers: dict[str, str] = {}
    timeout: float = TIMEOUT

    @property
    def endpoint(self) -> str:
        """The address without anything secret: it becomes part of a job's key."""
        parts = urlsplit(self.base_url)
        host = parts.netloc.rpartition("@")[2]
        where = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), parts.query, ""))
        mine = [f"{name}={value}" for name, value in self._account() if value]
        return f"{where}?{'&'.join(mine)}" if mine else where

    @property
    def completions(self) -> str:
        """Where chat models are asked."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    def client(self) -> openai.OpenAI:
        """The SDK's client, for whoever calls and waits."""
        import openai

        http = hosted.http_client(openai.DefaultHttpxClient, event_hooks=hosted.hooks())
        headers = self.public | self.secret()
        client = openai.OpenAI(**self.arguments() | {"default_headers": headers}, http_client=http)
        return self._settled(client)

    def asking(self, concurrency: int) -> openai.AsyncOpenAI:
        """The SDK's client for many calls at once, in the loop that is running."""
        import openai

        arguments = self.arguments() | {"api_key": "said by each request"}
        client = openai.AsyncOpenAI(**arguments, http_client=self._sender(concurrency))
        return self._settled(client)

    def signed(self) -> dict[str, str]:
        """The headers that say who asks, looked up for each request: the key, unless `headers` do by themselves."""
        said = any(name.lower() == "authorization" for name in self.headers)
        return self.secret() | ({} if said else {"Authorization": f"Bearer {hosted.key(self.api_key)}"})

    def secret(self) -> dict[str, str]:
        """Those of `headers` that hold a secret, looked up: keep them nowhere."""
        return {name: hosted.key(value) for name, value in self.headers.items() if REFERENCE in value}

    @property
    def public(self) -> dict[str, str]:
        """Those of `headers` that hold none."""
        return {name: value for name, value in self.headers.items() if REFERENCE not in value}

    def _sender(self, concurrency: int) -> httpx2.AsyncClient:
        """What many calls are sent through. Where the environment names a proxy that is the SDK's own client."""
        from urllib.request import getproxies

        import httpx2
        import openai

        from ftspec_openai.sending import Sender, Wire

        if (proxy := proxy_of(self.base_url)).lower().startswith("socks"):
            raise hosted.no_connection(proxy)
        if getproxies().keys() - {"no"}:
            limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
            hooks = hosted.asynchronous_hooks()
            make = openai.DefaultAioHttpClient
            return hosted.http_client(make, limits=limits, timeout=self._timeout(), event_hooks=hooks)
        connect = min(CONNECT, self.timeout)
        return Sender(Wire(concurrency, self.timeout, connect), self._timeout())

    def arguments(self) -> dict[str, Any]:
        """What both clients are made with. The key is looked up for each request: a new one is sent in the next."""
        return {
            "api_key": lambda: hosted.key(self.api_key),
            "base_url": self.base_url,
            "organization": self.organization or None,
            "project": self.project or None,
            "default_headers": self.public,
            "timeout": self._timeout(),
            "max_retries": 0,
        }

    def _account(self) -> list[tuple[str, str]]:
        return [("organization", self.organization), ("project", self.project)]

    def _settled(self, client: T) -> T:
        """The SDK takes these from the environment where they are not given: a spec says where its jobs live."""
        client.organization = self.organization or None  # type: ignore[attr-defined]
        client.project = self.project or None  # type: ignore[attr-defined]
        return client

    def _timeout(self) -> Any:
        import httpx2

        return httpx2.Timeout(self.timeout, connect=min(CONNECT, self.timeout))


def proxy_of(url: str) -> str:
    """The proxy that the environment names for an address; "" where there is none."""
    from urllib.request import getproxies, proxy_bypass

    where, named = urlsplit(url), getproxies()
    proxy = named.get(where.scheme) or named.get("all") or ""
    return "" if proxy_bypass(where.hostname or "") else proxy


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn whatever the SDK raises into one of ftspec's errors; `what` is what the call does, as in "could not {what}".

    An answer that does not arrive is Ambiguous, a call that was never sent Transient."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        wait = hosted.retry_after(error.response)
        raise faults.of_status(what, error.status_code, error.body, wait=wait) from error
    except (openai.APIConnectionError, openai.APIError, OSError) as error:
        raise _lost(what, error) from error
    except (ValueError, RecursionError) as error:  # JSON that does not parse, text that is none
        raise broken(what) from error


def broken(what: str) -> api.Ambiguous:
    """The error for an answer that is not what the API promises."""
    return api.Ambiguous(f"could not {what}: the answer cannot be read")


def decoded(data: bytes, what: str) -> Any:
    """The JSON of an answer."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(what) from error


def whole(found: T, what: str, *fields: str) -> T:
    """The answer, if it has an id and the other texts that we rely on: the SDK lets anything pass, of any type."""
    given = [getattr(found, name, None) for name in ("id", *fields)]
    if not all(isinstance(value, str) and value for value in given):
        raise broken(what)
    return found


def made_at(entry: Any, *rather: str) -> float:
    """When something was made, in seconds since the epoch: a number, and text at some servers of this shape.

    `rather` are fields that count before `created_at`, where they say something."""
    at = next((value for name in (*rather, "created_at") if (value := getattr(entry, name, None))), None)
    return float(at) if isinstance(at, int | float) else hosted.timestamp(at) if at else 0.0


def listed(page: Any, what: str) -> Iterator[Any]:
    """Every entry of a list that comes in pages."""
    for entries in pages(page, what):
        yield from entries


def pages(page: Any, what: str) -> Iterator[list[Any]]:
    """The entries of each page, from one to the next. A server that gives one page for ever is left."""
    seen: set[str] = set()
    while True:
        entries = getattr(page, "data", None)
        if not isinstance(entries, list):
            raise broken(what)
        new = [entry for entry in entries if whole(entry, what).id not in seen]
        yield new
        seen.update(entry.id for entry in new)
        with calling(what):
            if not new or not page.has_next_page():
                return
            page = page.get_next_page()


def _lost(what: str, error: Exception) -> api.ProviderError:
    """The error of a call without an answer."""
    meant = hosted.unanswered(error)
    if isinstance(meant, api.Rejected):
        return meant
    *_, first = api.chained(error)
    reason = str(first).strip() or type(first).__name__
    return type(meant)(f"could not {what}: {reason}", "check the network and the provider's `base_url`")
