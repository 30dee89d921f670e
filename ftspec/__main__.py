"""Where `ftspec` and `python -m ftspec` start."""

from __future__ import annotations

import gc
import sys

from ftspec.cli import guard

NEW_OBJECTS = 200_000
"""After how many the collector looks for cycles: so many are made while modules are loaded, and all of them stay."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(NEW_OBJECTS)
    code = guard.run(sys.argv[1:])
    gc.freeze()  # or the interpreter would look at every object once more as it ends
    sys.exit(code)


if __name__ == "__main__":
    main()
