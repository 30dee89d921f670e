"""Fireworks' SDK, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ftspec import api, hosted

URL = "https://api.fireworks.ai"
HINTS = hosted.Hints(
    key="check FIREWORKS_API_KEY, or the provider's option `api_key`; keys are at https://app.fireworks.ai/settings/users/api-keys",
    access="this account may not do that: managed jobs are closed to new users; ask Fireworks, or "
    "let `ftspec port` write the spec for another tuner",
    quota="add credit at https://app.fireworks.ai/account/billing, or ask for a higher quota",
    request="see Fireworks' words above; the model's page says whether it can be tuned",
)


def classes() -> tuple[Any, Any]:
    """Its blocking and its asynchronous client."""
    import fireworks

    return fireworks.Fireworks, fireworks.AsyncFireworks


@contextmanager
def calling() -> Iterator[None]:
    """Translate what the SDK raises, and httpx where a signed address is read."""
    import fireworks
    import httpx

    with hosted.calling(fireworks, HINTS, (OSError, httpx.HTTPError)):
        yield


def got(get: Callable[..., Any], *arguments: str, **more: Any) -> Any:
    """What a call finds, None where there is nothing of that name."""
    try:
        with calling():
            found = get(*arguments, **more)
    except api.NotFound:
        return None
    if not getattr(found, "name", None):
        raise hosted.unreadable(found)
    return found


def forgive(delete: Callable[..., Any], *arguments: str, **more: Any) -> None:
    """Make a call that deletes; what is gone is left alone."""
    with suppress(api.NotFound), calling():
        delete(*arguments, **more)
