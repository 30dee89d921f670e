"""Progress on standard error: one line that is redrawn on a terminal, one line per finished phase elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from ftspec.cli import hints
from ftspec.common import figures, terminal
from ftspec.common.progress import Progress, Quiet

REDRAW = 0.1
"""Seconds between two drawings, at the least."""
TICK = 0.5
"""Seconds after which the line is redrawn though nothing was said, so that a long step is seen to live."""
WINDOW = 30.0
"""Seconds that the rate is taken over: long enough to be calm, short enough to notice a change."""
BAR = 20


class Drawing:
    """Implements `progress.Progress`. Use it as a context: an exception ends the phase as stopped, not done."""

    def __init__(self, *, live: bool | None = None) -> None:
        self._stream = sys.stderr
        self._live = terminal.interactive(self._stream) if live is None else live
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._name = self._unit = self._detail = ""
        self._total: float | None = None
        self._done = self._started = self._drawn = 0.0
        self._seen: deque[tuple[float, float]] = deque()
        if self._live:
            threading.Thread(target=self._tick, daemon=True, name="progress").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(stopped=kind is not None)
        self.close()

    def phase(self, name: str, *, total: float | None = None, unit: str = "") -> None:
        with self._lock:
            self._finish()
            self._name = name
            self._reset(total, unit)
            self._draw(force=True)

    def advance(self, done: float, *, total: float | None = None, detail: str = "") -> None:
        with self._lock:
            now = time.monotonic()
            self._done, self._detail = done, detail or self._detail
            self._total = self._total if total is None else total
            self._seen.append((now, done))
            while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
                self._seen.popleft()
            self._draw()

    def note(self, message: str) -> None:
        with self._lock:
            self._clear()
            self._write(terminal.safe(hints.here(message)) + "\n")
            self._draw(force=True)

    def close(self) -> None:
        with self._lock:
            self._finish()
            self._ended.set()

    def _reset(self, total: float | None, unit: str) -> None:
        self._total, self._unit = total, unit
        self._done, self._detail = 0.0, ""
        self._started = time.monotonic()
        self._drawn = 0.0
        self._seen.clear()

    def _finish(self, *, stopped: bool = False) -> None:
        """End the current phase with a line that stays."""
        with self._lock:
            if not self._name:
                return
            name, self._name = self._name, ""
            self._clear()
            sign, word = ("✗", "stopped after ") if stopped else ("✓", "")
            parts = [self._amount(), word + figures.duration(time.monotonic() - self._started), self._detail]
            sign = terminal.style(sign, "red" if stopped else "green", err=True)
            self._write(f"{sign} {name}: {', '.join(filter(None, parts))}\n")

    def _amount(self) -> str:
        if not self._done:
            return ""
        unit = self._unit.removesuffix("s") if self._done == 1 else self._unit
        return f"{figures.number(self._done)} {unit}".strip()

    def _tick(self) -> None:
        while not self._ended.wait(TICK):
            with self._lock:
                self._draw()

    def _draw(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not self._live or not self._name or not (force or now - self._drawn >= REDRAW):
            return
        self._drawn = now
        columns = shutil.get_terminal_size().columns - 1
        self._write("\r\x1b[2K" + terminal.clip(self.line(), columns))

    def line(self) -> str:
        """What is happening, how far, how fast, how long still, and the live figure."""
        parts = [f"  {self._name}"]
        if self._total:
            filled = round(BAR * min(self._done / self._total, 1))
            parts.append("━" * filled + "─" * (BAR - filled))
            parts.append(f"{figures.number(self._done)}/{figures.number(self._total)} {self._unit}".strip())
        else:
            parts.append(self._amount())
        rate = self._rate()
        if rate:
            parts.append(f"{figures.number(rate)} {self._unit}/s".replace(" /", "/"))
        parts.append(self._time(rate))
        parts.append(self._detail)
        return "  ".join(filter(None, parts))

    def _time(self, rate: float | None) -> str:
        if rate and self._total and self._done < self._total:
            return f"{figures.duration((self._total - self._done) / rate)} left"
        return figures.duration(time.monotonic() - self._started)

    def _rate(self) -> float | None:
        """Per second over the window; a run that continues does not count what was there before its first word."""
        if len(self._seen) < 2:
            return None
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first and after > before else None

    def _clear(self) -> None:
        if self._live:
            self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        # A closed or full stream must not stop the work that is being reported on.
        with contextlib.suppress(OSError, ValueError):
            terminal.write(text, self._stream)


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """The progress that a command reports to: drawn, or with `quiet` nothing at all."""
    if quiet:
        with _logged(lambda message: None):
            yield Quiet()
        return
    with Drawing() as drawing, _logged(drawing.note):
        yield drawing


@contextlib.contextmanager
def _logged(note: Callable[[str], None]) -> Iterator[None]:
    """What rooms log that nobody hands a `Progress`, for they are called by somebody else's code."""
    import logging

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    log, handler = logging.getLogger("ftspec"), Notes()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
