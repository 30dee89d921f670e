"""Together's SDK, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ftspec import api, hosted

HINTS = hosted.Hints(
    key="check TOGETHER_API_KEY, or the provider's option `api_key`; keys are at https://api.together.ai/settings/api-keys",
    access="this account may not do that: see https://api.together.ai/settings, or ask Together's support",
    quota="add credit at https://api.together.ai/settings/billing, or wait until a limit is lifted",
    request="see Together's words above; docs.together.ai/docs/fine-tuning-models lists models and limits",
)


def classes() -> tuple[Any, Any]:
    """Its blocking and its asynchronous client."""
    import together

    return together.Together, together.AsyncTogether


@contextmanager
def calling() -> Iterator[None]:
    """Translate what the SDK raises; its upload lets errors of httpx and of its own checks through."""
    import httpx
    import pydantic
    import together

    try:
        with hosted.calling(together, HINTS, (OSError, httpx.HTTPError)):
            yield
    except (AssertionError, pydantic.ValidationError) as fault:  # an answer that is not what it should be
        raise hosted.unreadable(fault) from fault


def forgive(delete: Callable[..., Any], *arguments: str, **more: str) -> None:
    """Make a call that deletes; what is gone is left alone."""
    with suppress(api.NotFound), calling():
        delete(*arguments, **more)
