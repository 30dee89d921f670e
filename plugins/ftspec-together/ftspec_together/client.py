"""Together's clients, each call made once, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ftspec import api, hosted

HINTS = hosted.Hints(
    key="check TOGETHER_API_KEY, or the provider's option `api_key`; keys are at https://api.together.ai/settings/api-keys",
    access="this account may not do that: see https://api.together.ai/settings, or ask Together's support",
    quota="add credit at https://api.together.ai/settings/billing, or wait until a limit is lifted",
    request="see Together's words above; docs.together.ai/docs/fine-tuning-models lists models and limits",
)


class Clients:
    """Makes clients; the key is resolved when the first call is made, and kept nowhere else."""

    def __init__(self, api_key: str, base_url: str, project: str, timeout: float) -> None:
        self.api_key, self.base_url, self.project, self.timeout = api_key, base_url, project, timeout
        self._sync: Any = None

    def sync(self) -> Any:
        """The blocking client."""
        import together

        self._sync = self._sync or together.Together(**self._options())
        return self._sync

    def asynchronous(self) -> Any:
        """A client for the running loop."""
        import together

        return together.AsyncTogether(**self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "api_key": hosted.key(self.api_key),
            "base_url": self.base_url,
            "project_id": self.project or None,
            "timeout": self.timeout,
            "max_retries": 0,  # ftspec repeats what may be repeated
        }


@contextmanager
def calling() -> Iterator[None]:
    """Translate what the SDK raises; its upload lets errors of httpx through."""
    import httpx
    import together

    try:
        with hosted.calling(together, HINTS, (OSError, httpx.HTTPError)):
            yield
    except AssertionError as fault:  # how its upload says that an answer is not what it should be
        raise hosted.unreadable(fault) from fault


def forgive(delete: Callable[..., Any], *arguments: str, **more: str) -> None:
    """Make a call that deletes; what is gone is left alone."""
    try:
        with calling():
            delete(*arguments, **more)
    except api.Rejected as fault:
        if not gone(fault):
            raise


def gone(error: api.ProviderError) -> bool:
    """Whether an error says that what it was about does not exist."""
    return isinstance(error, api.Rejected) and "(404" in error.message
