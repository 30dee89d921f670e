"""A circuit breaker: a model that was asked in vain is not waited for again, until it answers.

    closed ── nobody in a round was answered, to the end of all tries ──► open ── one of a few answers ──► closed

The pattern is Nygard's: Release It! (2007), chapter 5.
"""

from __future__ import annotations


class Breaker:
    """Of one model, over all rounds in which one run asks it. `reason` says why it is open, "" where it is closed."""

    def __init__(self) -> None:
        self.reason = ""
        self.reached = False
        """Whether somebody has ever been answered."""
        self.told = False
        """Whether somebody has been told that it is open."""

    def open(self, reason: str) -> None:
        """Nobody was answered, and that is why."""
        self.reason = reason

    def close(self) -> None:
        """Somebody was answered, be it with a no."""
        self.reason, self.told, self.reached = "", False, True
