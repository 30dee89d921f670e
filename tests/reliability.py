"""Runs the fault matrix and prints what was seen into docs/reliability.md: `make reliability`, some minutes.

CI runs the same cells, and checks that the page says what is expected of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from servers import page

TESTS = Path(__file__).parent


class Seen:
    """What became of each cell, told by the tests as they run."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            self.outcomes |= {name: value for name, value in report.user_properties if name in page.CELLS}


def main() -> int:
    seen = Seen()
    code = pytest.main(["-q", str(TESTS / "test_reliability.py"), "-k", "costs_nothing"], plugins=[seen])
    if code or set(seen.outcomes) != set(page.CELLS):
        print("not every cell came out as it should: the page is as it was", file=sys.stderr)
        return 1
    page.write(page.table(seen.outcomes))
    print(page.PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
