"""Where `ftspec` and `python -m ftspec` start."""

from __future__ import annotations

import gc
import signal
import sys

NEW_OBJECTS = 200_000
"""After how many the collector looks for cycles: so many are made while modules are loaded, and all of them stay."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ^C while modules are loaded would be a traceback
    gc.set_threshold(NEW_OBJECTS)
    from ftspec.cli import guard, signals

    code = guard.run(sys.argv[1:], signals.heed)
    signals.leave_at_once()
    gc.freeze()  # or the interpreter would look at every object once more as it ends
    sys.exit(code)


if __name__ == "__main__":
    main()
