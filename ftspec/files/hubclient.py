"""The Hugging Face hub's official client, made to ask again by one rule, and no longer than that allows.

By itself it asks some requests again in two loops, one inside the other, which together may take half an hour; others
it asks once; and some have no time limit. Here all that only reads is asked again, by `hubwait`. With a body that
breaks off the client goes on by itself from there: such failures count, and end it by the same rule.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ftspec.common.errors import FtspecError
from ftspec.files.hubwait import HINT, RESUMED, Away, Waiting, reason, tell

__all__ = ["HINT", "Away", "Waiting", "patient", "reason", "tell"]

SILENCE = 60.0
"""Seconds without a byte after which a request has failed that has no time limit; others get there by doubling."""
BRIEF = 5.0
"""Whoever allows less time than this does without an answer, and is not asked for again."""
LIMITS = ("connect", "read", "write", "pool")
PARTIAL = 206
LIMITED = 429
AGAIN = {408, LIMITED, 500, 502, 503, 504}


@cache
def patient() -> Waiting:
    """Have the client `huggingface_hub` ask with patience from now on, in this process."""
    import huggingface_hub

    waiting = Waiting()
    if not hasattr(huggingface_hub, "set_client_factory"):  # before its version 1 it asked by another library
        return waiting
    default = _session(huggingface_hub.get_session)
    library = importlib.import_module(type(default).__module__.partition(".")[0])

    def client() -> Any:
        made = type(default)(event_hooks=default.event_hooks, follow_redirects=True, timeout=None)
        made.send = _patiently(made.send, library, waiting)
        return made

    huggingface_hub.set_client_factory(client)
    if not os.environ.get("HF_HUB_VERBOSITY"):
        huggingface_hub.utils.logging.set_verbosity_error()  # what it says of attempts is said by hubwait
    threading.Thread(target=waiting.watch, daemon=True, name="hub").start()
    return waiting


def _session(make: Callable[[], Any]) -> Any:
    """The client's own session. Raises FtspecError where the environment names a proxy or certificates that none can be
    made with."""
    try:
        return make()
    except Exception as error:  # httpx has several kinds for that
        said = f"{type(error).__name__}: {error}"
        raise FtspecError(
            f"the hub cannot be asked with the proxy or certificates that the environment names: {said}",
            "correct or take away HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or SSL_CERT_FILE",
        ) from error


def _patiently(send: Callable[..., Any], library: Any, waiting: Waiting) -> Callable[..., Any]:
    """`httpx.Client.send`, asked again. `library` is httpx, which the client has under one name or another."""
    furthest: dict[str, int] = {}

    def again(request: Any, *, stream: bool = False, **how: Any) -> Any:
        limits = request.extensions.setdefault("timeout", {})
        if not _reads(request) or (limits.get("read") or SILENCE) < BRIEF:
            return send(request, stream=stream, **how)
        limits.update({name: limits.get(name) or SILENCE for name in LIMITS})
        while True:
            waiting.check()
            began = time.monotonic()
            try:
                with waiting.silence(request.url.host):
                    response = send(request, stream=True, **how)
                if response.status_code not in AGAIN:
                    response.stream = _body(library, waiting, response, furthest if stream else None)
                    if not stream:
                        response.read()
                        waiting.well()
                    return response
            except library.TransportError as error:
                wait = waiting.failed(reason(error), request.url.host, began)
                limits.update({name: max(limit, min(2 * limit, SILENCE)) for name, limit in limits.items()})
            else:
                response.close()
                limited, why = response.status_code == LIMITED, f"status {response.status_code}"
                wait = waiting.failed(why, request.url.host, began, _asked(response), limited=limited)
            time.sleep(wait)

    return again


def _body(library: Any, waiting: Waiting, response: Any, furthest: dict[str, int] | None) -> Any:
    """The response's stream, whose failures count where `furthest` is given: the bytes that have come of each address.

    Those of one that brought more than ever before begin to count anew.
    """
    stream, url = response.stream, response.request.url
    place = f"{url.host}{url.path}"

    class Body(library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            came, chunks = _start(response), iter(stream)
            while True:
                began = time.monotonic()
                try:
                    with waiting.silence(url.host):
                        chunk = next(chunks, None)
                except library.TransportError as error:
                    if furthest is not None:
                        if came > furthest.get(place, 0):
                            furthest[place] = came
                            waiting.well()
                        waiting.failed(reason(error), url.host, began, RESUMED)
                    if isinstance(error, library.ReadError):  # a reset, after which the client does not go on by itself
                        raise library.RemoteProtocolError(str(error), request=response.request) from error
                    raise
                if chunk is None:
                    break
                came += len(chunk)
                yield chunk
            waiting.well()

        def close(self) -> None:
            stream.close()

    return Body()


def _reads(request: Any) -> bool:
    """Whether nothing is changed by it."""
    return request.method in ("GET", "HEAD") or (request.method == "POST" and "/paths-info/" in request.url.path)


def _start(response: Any) -> int:
    """The place in its file at which a body begins."""
    if response.status_code != PARTIAL:
        return 0
    said = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return int(said[1]) if said else 0


def _asked(response: Any) -> float | None:
    """Seconds that the hub says to wait."""
    said = response.headers.get("retry-after", "")
    if said.isdigit():
        return float(said)
    limit = re.search(r";\s*r=0\s*;\s*t=(\d+)", response.headers.get("ratelimit", ""))
    return float(limit[1]) if limit else None
