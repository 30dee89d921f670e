"""How rooms say what is happening, without knowing who listens. The CLI draws it; tests and CI stay quiet."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told by the runner and the rooms below it; every method returns at once and never raises."""

    def phase(self, name: str, *, total: float | None = None, unit: str = "") -> None:
        """A new phase starts (it ends the one before). `total` in `unit`s, None when unknown."""
        ...

    def advance(self, done: float, *, total: float | None = None, detail: str = "") -> None:
        """`done` of `total` so far in this phase; `detail` is a short live figure, e.g. "loss 0.42"."""
        ...

    def note(self, message: str) -> None:
        """Something that a user should see and that stays on the screen, in one line."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Quiet:
    """Says nothing."""

    def phase(self, name: str, *, total: float | None = None, unit: str = "") -> None:
        pass

    def advance(self, done: float, *, total: float | None = None, detail: str = "") -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def close(self) -> None:
        pass
