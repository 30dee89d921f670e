"""Rows that `on_error: skip` sets aside: `rejected.jsonl`, one object per row (file, line, step, reason), never a text.

Lines that are no rows come first, then rows on which a step or the format failed, both in the order of the sources.
"""

from __future__ import annotations

import shutil
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
        self.parts: tuple[IO[bytes], IO[bytes]] | None = None
        self.count = 0
        self.masked: Callable[[str], str] = mask

    def add(self, file: str, line: int, step: str, reason: str, *, read: bool) -> None:
        """`read` says whether it became a row at all."""
        if self.parts is None:
            self.parts = (nameless(self.folder), nameless(self.folder))
            self.masked = mask.now()  # all that could fail is built, and its secrets are known
        told = {"file": file, "line": line, "step": step, "reason": self.masked(reason)}
        self.parts[read].write(msgspec.json.encode(told) + b"\n")
        self.count += 1

    def write(self) -> None:
        """The file, if there is anything to put into it."""
        if self.parts is None:
            return
        with (self.folder / FILE).open("wb") as out:
            for part in self.parts:
                part.seek(0)
                shutil.copyfileobj(part, out)
                part.close()
