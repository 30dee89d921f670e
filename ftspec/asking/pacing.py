"""How fast a remote model may be asked: calls and tokens per minute, and the pauses that it asks for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ftspec.common.messages import Answer, Generation, Question, RateLimits

BURST = 2.0
"""Seconds' worth of a limit that may be used at once, after a time in which less was used."""
CHARACTERS = 4
"""Of a prompt, per token: only until answers have said how many tokens a call takes."""


class Budget:
    """So much per minute, as a token bucket that may run into debt: a call is let in while it is not in debt.

    A call that is larger than the bucket therefore passes, and those after it wait until it is paid for. In no minute
    is more let in than the limit, `BURST` seconds of it, and one call.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self.rate = per_minute / 60
        self.most = self.rate * BURST
        self.level = self.most
        self.at = now

    def delay(self, now: float) -> float:
        """Seconds until the next call may be let in."""
        self.level = min(self.most, self.level + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, -self.level / self.rate)

    def take(self, amount: float) -> None:
        self.level -= amount


class Pace:
    """Lets calls in, one after the other, as the limits allow; used within one event loop.

    Args:
        clock, sleep: seconds that pass, for tests.
    """

    def __init__(
        self,
        limits: RateLimits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._calls = Budget(limits.requests_per_minute, clock()) if limits.requests_per_minute else None
        self._tokens = Budget(limits.tokens_per_minute, clock()) if limits.tokens_per_minute else None
        self._paused_until = 0.0
        self._turn = asyncio.Lock()
        self._mean = 0.0
        self._settled = 0

    async def admit(self, question: Question, generation: Generation) -> float:
        """Wait for this call's turn. Returns the tokens that it is expected to take, for `settle`."""
        async with self._turn:
            while (delay := self._delay()) > 0:
                await self._sleep(delay)
            expected = self._expected(question, generation)
            if self._calls:
                self._calls.take(1)
            if self._tokens:
                self._tokens.take(expected)
            return expected

    def settle(self, expected: float, answer: Answer) -> None:
        """Say what the call really took, where the answer tells."""
        if self._tokens is None or answer.prompt_tokens is None:
            return
        used = answer.prompt_tokens + (answer.completion_tokens or 0)
        self._tokens.take(used - expected)
        self._settled += 1
        self._mean += (used - self._mean) / self._settled

    def pause(self, seconds: float) -> None:
        """Let nobody in for so long: the provider says that it has had enough."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _delay(self) -> float:
        now = self._clock()
        budgets = [budget.delay(now) for budget in (self._calls, self._tokens) if budget]
        return max(self._paused_until - now, *budgets, 0.0)

    def _expected(self, question: Question, generation: Generation) -> float:
        if self._settled:
            return self._mean
        text = sum(len(str(message.content or "")) for message in question.prompt.messages)
        return text / CHARACTERS + generation.max_tokens
