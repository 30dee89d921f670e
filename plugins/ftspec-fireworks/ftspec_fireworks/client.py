"""Fireworks' clients, each call made once, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ftspec import api, hosted

URL = "https://api.fireworks.ai"
HINTS = hosted.Hints(
    key="check FIREWORKS_API_KEY, or the provider's option `api_key`; keys are at https://app.fireworks.ai/settings/users/api-keys",
    access="this account may not do that: managed jobs are closed to new users; ask Fireworks, or tune elsewhere",
    quota="add credit at https://app.fireworks.ai/account/billing, or ask for a higher quota",
    request="see Fireworks' words above; the model's page says whether it can be tuned",
)


class Clients:
    """Makes clients; the key is resolved when the first call is made, and kept nowhere else."""

    def __init__(self, api_key: str, account: str, base_url: str, timeout: float) -> None:
        self.api_key, self.account, self.base_url, self.timeout = api_key, account, base_url, timeout
        self._sync: Any = None

    @property
    def chat_path(self) -> str:
        """Where chat is: beside the other calls, or, at Fireworks itself, at an address of its own."""
        return "/v1/chat/completions" if self.base_url else f"{URL}/inference/v1/chat/completions"

    def sync(self) -> Any:
        """The blocking client."""
        import fireworks

        self._sync = self._sync or fireworks.Fireworks(**self._options())
        return self._sync

    def asynchronous(self) -> Any:
        """A client for the running loop."""
        import fireworks

        return fireworks.AsyncFireworks(**self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "api_key": hosted.key(self.api_key),
            "account_id": self.account,
            "base_url": self.base_url or None,
            "timeout": self.timeout,
            "max_retries": 0,  # the SDK would repeat even a 409; ftspec repeats what may be repeated
        }


@contextmanager
def calling() -> Iterator[None]:
    """Translate what the SDK raises, and httpx where a signed address is read."""
    import fireworks
    import httpx

    with hosted.calling(fireworks, HINTS, (OSError, httpx.HTTPError)):
        yield


def gone(error: api.ProviderError) -> bool:
    """Whether an error says that what it was about does not exist."""
    return isinstance(error, api.Rejected) and "(404" in error.message


def got(get: Callable[..., Any], *arguments: str, **more: Any) -> Any:
    """What a call finds, None where there is nothing of that name."""
    try:
        with calling():
            found = get(*arguments, **more)
    except api.ProviderError as fault:
        if gone(fault):
            return None
        raise
    if not getattr(found, "name", None):
        raise hosted.unreadable(found)
    return found


def forgive(delete: Callable[..., Any], *arguments: str, **more: Any) -> None:
    """Make a call that deletes; what is gone is left alone."""
    try:
        with calling():
            delete(*arguments, **more)
    except api.Rejected as fault:
        if not gone(fault):
            raise
