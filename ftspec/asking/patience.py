"""How long to wait before the next try, and when to stop trying."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from ftspec.common.errors import Ambiguous, ProviderError, Transient
from ftspec.common.figures import duration
from ftspec.common.progress import Progress
from ftspec.common.references import mask

T = TypeVar("T")
LONG = 60.0
"""Seconds of waiting that are worth a word."""


class Patience:
    """Waits between tries: a little longer each time, and no longer than `total` seconds without a success.

    Args:
        total: seconds of failing in a row after which the error is raised.
        first: seconds before the second try; each next wait is half as long again, up to `longest`.
    """

    def __init__(self, total: float, *, first: float = 0.1, longest: float = 15.0) -> None:
        self.total = total
        self.first = first
        self.longest = longest
        self.reset()

    def reset(self) -> None:
        """It worked: the next failure starts anew."""
        self._since: float | None = None
        self._delay = self.first

    @property
    def fresh(self) -> bool:
        """Whether nothing has failed since it last worked."""
        return self._since is None

    def retry(self, call: Callable[[], T], progress: Progress | None = None) -> T:
        """What a call that may be repeated returns."""
        self.reset()
        while True:
            try:
                return call()
            except (Transient, Ambiguous) as error:
                self.wait(error, progress)

    def wait(self, error: ProviderError, progress: Progress | None = None) -> None:
        """Sleep as long as the error says, or as its turn is; that it is tried again is told once, for it may take
        minutes. Raises the error when that would be too long."""
        first, delay = self.fresh, self.delay(error)
        if first and progress:
            progress.note(f"{mask(error.message)}: trying again for up to {duration(self.total)}")
        time.sleep(delay)

    def delay(self, error: ProviderError) -> float:
        """How long to wait until the next try, in seconds. Raises the error when that would be too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        delay = max(self._delay, error.retry_after or 0.0)
        if now + delay - self._since > self.total:
            raise with_wait(error)
        self._delay = min(self._delay * 1.5, self.longest)
        return delay


def with_wait(error: ProviderError) -> ProviderError:
    """The error with how long the provider asks to wait, where that is what nobody waits for."""
    asked = error.retry_after
    if asked is None or not LONG <= asked < math.inf:
        return error
    kind = Ambiguous if isinstance(error, Ambiguous) else Transient
    return kind(f"{error.message}; it asks to wait {duration(asked)}", error.hint, retry_after=asked)
