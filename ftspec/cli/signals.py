"""^C, SIGTERM and SIGHUP: what is under way ends in order, and without a traceback.

The first one raises `Interrupted` in the main thread, so that deployments are taken down, scratch folders removed and
a user told what goes on without us; the same within TWICE seconds is that one once more (a terminal's ^C that a wrapper
sends on), and a later one ends the process on the spot, which loses nothing that was written down. A signal that was
ignored when the process started (`nohup`, `&` in a script) stays so.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

TWICE = 1.0
"""Seconds in which a second signal means no more than the first."""
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asks this process to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell counts it: 130 for ^C."""
        return 128 + self.number


def leave_at_once() -> None:
    """Nobody is left to tell, and nothing to be put in order: end without a word."""
    for number in _heeded():
        signal.signal(number, signal.SIG_DFL)


def heed() -> None:
    """From here on raise `Interrupted`."""
    ours, first = os.getpid(), 0.0

    def asked(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first and now - first < TWICE and os.getpid() == ours:
            return
        if first or os.getpid() != ours:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        first = now
        raise Interrupted(number)

    def swallowed(fault: UnraisableHookArgs) -> None:
        """Raised where Python lets nothing out (a destructor, a callback): once more, in a moment."""
        nonlocal first
        if not isinstance(fault.exc_value, Interrupted):
            sys.__unraisablehook__(fault)
            return
        from threading import Timer

        first = 0.0
        again = Timer(0.01, _to_main_thread, [fault.exc_value.number])
        again.daemon = True
        again.start()

    sys.unraisablehook = swallowed
    for number in _heeded():
        signal.signal(number, asked)


def behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that an error comes of: Python, and what puts things in order, may raise another in its place."""
    from ftspec.common.errors import chained

    return next((one for one in chained(error) if isinstance(one, KeyboardInterrupt)), None)


def _to_main_thread(number: int) -> None:
    """Send it where it wakes whoever sleeps: Python heeds a signal of another thread once the main one's call ends."""
    import threading

    if (main := threading.main_thread().ident) is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


def _heeded() -> list[signal.Signals]:
    return [number for number in ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None)]
