"""Where `ftspec` and `python -m ftspec` start."""

from __future__ import annotations

import sys

from ftspec.cli import guard


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(guard.run(sys.argv[1:]))


if __name__ == "__main__":
    main()
