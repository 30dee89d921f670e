"""What a failed call means: a key that no header can carry, a status, no answer or none to be read, a late call."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import msgspec

from ftspec import api

EXHAUSTED = ("daily", "per day", "insufficient_quota", "current quota", "credit", "billing", "payment", "spend limit")
"""Words of a refusal that waiting does not mend."""
GONE = {404, 410}
"""Statuses for what is not there."""
ELSEWHERE = "the server sends the call on to somewhere else: look at its address in the spec"
GATEWAY = (
    "something between here and the provider answers in its place, such as a proxy or a page to sign in at: look at "
    "HTTPS_PROXY, and at the provider's address (`base_url`) in the spec"
)
UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError", "UnsupportedProtocol", "gaierror"}
"""Exceptions with which a call ends before a byte of it was sent,"""
CONNECTED = {"ConnectionResetError", "BrokenPipeError", "ClientOSError", "ServerDisconnectedError"}
"""unless one of these is behind them: httpx over aiohttp calls a connection that breaks a ConnectTimeout."""


class Hints(msgspec.Struct, frozen=True, kw_only=True):
    """What a user can do about a refusal, in one provider's words: a wrong key, no access, no money or quota left,
    a request or data that it does not take."""

    key: str
    access: str
    quota: str
    request: str = "the provider's own words are above; change the spec or the data"


def key(text: str) -> str:
    """An API key with its secrets filled in, for a header; keep it nowhere.

    A line break or blanks that a file or a secret store has left around it are taken away. Raises Rejected for a key
    that no header can carry."""
    found: str = api.resolve(text).strip()
    if not (found.isascii() and found.isprintable()):
        message = "the API key is none: it holds a line break, or characters that are not ASCII"
        raise api.Rejected(message, "look at the secret: something else was pasted, or more than the key")
    return found


def error(
    status: int, message: str, hints: Hints, *, code: str = "", retry_after: float | None = None
) -> api.ProviderError:
    """The error that an HTTP status stands for.

    Only 429 says for certain that the same call may succeed later; of 408, 409 and 5xx nobody knows what was done.
    """
    if (page := page_of(message)) is not None:
        message = f"a page came in place of an answer: '{page}'"
        if 400 <= status < 500 and status not in {408, 409, 429}:  # of what is there, it knows nothing
            return api.Rejected(f"{message} ({status})", GATEWAY)
    said = f"{code} {message}".lower()
    text = f"{message[:500]} ({status}{', ' + code if code else ''})"
    if status == 401:
        return api.Unauthorized(text, hints.key)
    if status == 402 or (status in {400, 403, 412, 429} and any(word in said for word in EXHAUSTED)):
        return api.Rejected(text, hints.quota)
    if status in {400, 403, 412} and re.search(r"quota[^.]*exceed|exceed[^.]*quota", said):
        return api.Rejected(text, hints.quota)
    if status == 403:
        return api.Rejected(text, hints.access)
    if status == 429:
        return api.Transient(text, hints.quota, retry_after=retry_after)
    if status in {408, 409} or not 300 <= status < 500:
        return api.Ambiguous(text, retry_after=retry_after)
    if 300 <= status < 400:
        return api.Rejected(text, ELSEWHERE)
    return (api.NotFound if status in GONE else api.Rejected)(text, hints.request)


def cancel(
    calling: Callable[[], AbstractContextManager[None]],
    send: Callable[[], object],
    state: Callable[[], api.JobState | None],
) -> None:
    """Ask for a job to be cancelled; one that has ended, or is ending, is left alone: services refuse that."""

    def ending() -> bool:
        now = state() or api.JobState.UNKNOWN
        return now.terminal or now is api.JobState.CANCELLING

    if not ending():
        try:
            with calling():
                send()
        except (api.Rejected, api.Ambiguous):
            if not ending():
                raise


def unanswered(error: BaseException) -> api.ProviderError:
    """The error of a call without an answer: Transient where it was never sent; our own where one is behind it."""
    names: list[str] = []
    for seen in api.chained(error):
        if isinstance(seen, api.ProviderError):
            return seen
        names.append(type(seen).__name__)
    message = f"no answer: {names[-1]}: {error}"
    unsent = UNSENT & set(names) and not CONNECTED & set(names)
    return api.Transient(message) if unsent else api.Ambiguous(message)


def unreadable(said: Any) -> api.Ambiguous:
    """An answer that is not what was asked for: something may have been done all the same."""
    text = str(said)
    if (page := page_of(text)) is not None:
        return api.Ambiguous(f"a page came in place of an answer: '{page}'", GATEWAY)
    return api.Ambiguous(f"an answer that cannot be read: {' '.join(text.split())[:200]}")


def page_of(text: str) -> str | None:
    """What a page for people is called, or says; None where the text is none. No provider answers a call with one."""
    if not re.match(r"\s*<(!doctype\s+html|html)\b", text, re.IGNORECASE):
        return None
    title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", title[1] if title else text[:2000]).split())[:100]


@contextmanager
def calling(sdk: Any, hints: Hints, transport: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """Translate what the calls inside raise. `sdk` is an SDK's module that Stainless generated, such as openai's.

    `transport`: errors of its HTTP library that some of its helpers let through."""
    try:
        yield
    except sdk.APIStatusError as fault:
        code, message = _said(fault)
        raise error(fault.status_code, message, hints, code=code, retry_after=retry_after(fault.response)) from fault
    except (sdk.APIConnectionError, *transport) as fault:
        raise unanswered(fault) from fault
    except (sdk.APIError, json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise unreadable(fault) from fault


def retry_after(response: Any) -> float | None:
    """Seconds that a response with HTTP headers asks to wait; None where it says none, or what cannot be read.

    A moment counts from that of the response, by the same clock: this machine's may be another's by hours."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            asked = float(response.headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(asked):
            return asked
    return _between(response.headers.get("date"), response.headers.get("retry-after"))


def _between(now: str | None, then: str | None) -> float | None:
    """Seconds from one moment to another, as HTTP writes both; None where one is none."""
    from email.utils import parsedate_to_datetime

    try:
        return max((parsedate_to_datetime(then or "") - parsedate_to_datetime(now or "")).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):  # one of them with a time zone and one without, years of 20 digits
        return None


def _said(fault: Any) -> tuple[str, str]:
    """(code, message) of a refusal, wherever its body keeps them."""
    body = fault.body
    if isinstance(body, str):  # some helpers of SDKs raise refusals of their own, with the text of the answer
        with suppress(ValueError):
            body = json.loads(body) if page_of(body) is None else {"message": body}
    body = body if isinstance(body, Mapping) else {}
    nested = body.get("error")
    inner = nested if isinstance(nested, Mapping) else body
    message = inner.get("message") or nested or body.get("detail") or fault.message
    return str(inner.get("code") or inner.get("type") or ""), str(message)
