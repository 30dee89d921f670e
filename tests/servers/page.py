"""The fault matrix as it stands in docs/reliability.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from servers.matrix import CASES, MEANING, OPERATIONS, Case
from servers.proxy import FAULTS

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
BEGIN, END = "<!-- matrix: made by `make reliability` -->\n", "<!-- end of matrix -->"
CELLS = {str(case): case for case in CASES}

NAMES = {
    "refused": "connection refused",
    "reset": "connection reset",
    "timeout": "no answer (timeout)",
    "429": "429, per minute",
    "429 daily": "429, per day",
    "broken": "200 with a broken body",
    "lost": "answer lost after the server has acted",
}
"""What faults are called on the page, where their name does not say it."""


def table(outcomes: Mapping[str, str]) -> str:
    """What the outcomes mean, and a row for each fault; in each cell what follows when it strikes once / always."""
    lines = [f"- **{outcome}**: {meaning}" for outcome, meaning in MEANING.items()]
    lines += ["", f"| fault, once / always | {' | '.join(OPERATIONS)} |", f"|---|{'---|' * len(OPERATIONS)}"]
    for fault in FAULTS:
        cells = [_cell(outcomes, fault, operation) for operation in OPERATIONS]
        lines.append(f"| {NAMES.get(fault, fault)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(outcomes: Mapping[str, str], fault: str, operation: str) -> str:
    once, always = (outcomes[str(Case(fault, operation, often))] for often in (True, False))
    return once if once == always else f"{once} / {always}"


def shown() -> str:
    """What stands on the page."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def write(matrix: str) -> None:
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    assert begin, f"{PAGE} has no place for the matrix"
    PAGE.write_text(before + BEGIN + matrix + END + rest.partition(END)[2], encoding="utf-8")
