"""Rows that `on_error: skip` sets aside: `rejected.jsonl`, one object per row (file, line, step, reason), never a text.

Lines that are no rows come first, then rows on which a step or the format failed, both in the order of the sources.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from ftspec.common.references import mask
from ftspec.files.kept import nameless

FILE = "rejected.jsonl"


class Rejected:
    """Gathers rows that were set aside; how many threads read and clean makes no difference to their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: IO[bytes] | None = None
        self.rows, self.places = array("q"), array("q")
        """Of each the row, and where it stands in the file."""
        self.masked: Callable[[str], str] = mask

    @property
    def count(self) -> int:
        return len(self.places)

    def add(self, file: str, line: int, step: str, reason: str, row: int = 0) -> None:
        """`row` is its number, if it became a row at all."""
        if self.held is None:
            self.held = nameless(self.folder)
            self.masked = mask.now()  # all that could fail is built, and its secrets are known
        self.rows.append(row)
        self.places.append(self.held.tell())
        told = {"file": file, "line": line, "step": step, "reason": self.masked(reason)}
        self.held.write(msgspec.json.encode(told) + b"\n")

    def write(self) -> None:
        """The file, if there is anything to put into it."""
        if self.held is None:
            return
        import numpy as np

        with (self.folder / FILE).open("wb") as out:
            for index in np.argsort(np.frombuffer(self.rows, np.int64), kind="stable"):
                self.held.seek(self.places[index])
                out.write(self.held.readline())
        self.held.close()
