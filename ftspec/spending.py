"""What asking costs while it goes on: who asks has to have leave for each question, and tells what came of it."""

from __future__ import annotations

from typing import Protocol

from ftspec.errors import BudgetReached
from ftspec.provider import Answer, Question


class Meter(Protocol):
    """Counts what is spent. Not thread-safe: called by the one thread (or loop) that asks.

    Each question goes through `may`, and then through exactly one of `record` and `lost`; asking once more starts with
    `may` again.
    """

    def may(self, question: Question) -> bool:
        """Whether the question may be sent now; reserves the most that it can cost.

        False: it could pass the cap together with what is in flight. A worker that hears False stops asking; those
        that are in flight end, and may go on if they turn out cheaper. When nobody is left, the rest stays unasked.
        """
        ...

    def record(self, answer: Answer) -> None:
        """It was answered, or refused for certain (`answer.error`): what it cost takes the reservation's place."""
        ...

    def lost(self, question: Question) -> None:
        """Nobody knows what came of it (timeout, reset): it may be billed, so that it counts as spent in full."""
        ...

    def reached(self, left: int) -> BudgetReached | None:
        """The error to raise when asking has stopped with so many questions left unasked; None where nothing caps."""
        ...


class Unlimited:
    """Counts nothing and allows everything."""

    def may(self, question: Question) -> bool:
        return True

    def record(self, answer: Answer) -> None: ...

    def lost(self, question: Question) -> None: ...

    def reached(self, left: int) -> BudgetReached | None:
        return None
