"""Where each row came from: file and line for a row number, and back.

Rows are numbered from 1 over all sources in order, so a chunk of a source is one stretch: its first row, its file and
the lines of its rows. A stretch of consecutive lines is a range, which costs nothing per row.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import rows
from ftspec.files.kept import nameless

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "origins.arrow"
BLOCK_ROWS = 1 << 16


class Stretch(msgspec.Struct, frozen=True):
    """Rows from `first` on: consecutive lines of one file from `line` on, or, with `at`, what stands on disk there."""

    first: int
    file: str
    line: int
    at: int = -1


class Origins:
    """All rows read so far. Lines that are not consecutive stand in a file without a name, not in memory."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.rows = 0
        self.files: dict[str, int] = {}
        self.scattered: Any = None
        """Pairs of int64: a file's number in `files`, and a line."""

    def add(self, file: str, lines: Sequence[int]) -> int:
        """Number the rows of one chunk; returns the number of the first."""
        if _consecutive(lines):
            return self._append(file, lines[0] if len(lines) else 0, -1, len(lines))
        return self.add_mixed([file] * len(lines), lines)

    def add_mixed(self, files: Sequence[str], lines: Sequence[int]) -> int:
        """Number rows that come from several files, one file and line each."""
        if self.scattered is None:
            self.scattered = nameless()
        numbers = array("q", bytes(16 * len(lines)))
        numbers[::2] = array("q", [self.files.setdefault(file, len(self.files)) for file in files])
        numbers[1::2] = array("q", lines)
        at = self.scattered.seek(0, os.SEEK_END)
        self.scattered.write(numbers)
        self.scattered.flush()
        return self._append("", 0, at, len(lines))

    def locate(self, row: int) -> tuple[str, int]:
        """File and 1-based line of a row; ("", 0) for a number that no row has."""
        index = bisect_right(self.stretches, row, key=lambda stretch: stretch.first) - 1
        if index < 0 or row > self.rows:
            return "", 0
        stretch = self.stretches[index]
        within = row - stretch.first
        if stretch.at < 0:
            return stretch.file, stretch.line + within
        file, line = self._scattered(stretch.at + 16 * within, 1)
        return list(self.files)[file], line

    def where(self, row: int) -> str:
        """`file:line` of a row."""
        file, line = self.locate(row)
        return f"{file}:{line}"

    def write(self, folder: Path) -> None:
        """`origins.arrow`: one row per row read, in order, so row n stands at index n - 1."""
        import pyarrow as pa

        schema = pa.schema([("file", pa.string()), ("line", pa.int64())])
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
            for pieces in self._blocks():
                files, lines = (pa.concat_arrays(list(column)) for column in zip(*pieces, strict=True))
                writer.write_batch(pa.RecordBatch.from_arrays([files, lines], schema=schema))

    def _append(self, file: str, line: int, at: int, count: int) -> int:
        first = self.rows + 1
        if count:
            self.stretches.append(Stretch(first, file, line, at))
        self.rows += count
        return first

    def _blocks(self) -> Iterator[list[tuple[pa.Array, pa.Array]]]:
        """Blocks of one size, however the sources cut their chunks."""
        block: list[tuple[pa.Array, pa.Array]] = []
        room = BLOCK_ROWS
        ends = [*(stretch.first for stretch in self.stretches[1:]), self.rows + 1]
        for stretch, end in zip(self.stretches, ends, strict=bool(self.stretches)):
            start = stretch.first
            while start < end:
                count = min(room, end - start)
                block.append(self._piece(stretch, start - stretch.first, count))
                start, room = start + count, room - count
                if room == 0:
                    yield block
                    block, room = [], BLOCK_ROWS
        if block:
            yield block

    def _piece(self, stretch: Stretch, skip: int, count: int) -> tuple[pa.Array, pa.Array]:
        if stretch.at < 0:
            first = stretch.line + skip
            return rows.repeated(stretch.file, count), rows.integers(range(first, first + count))
        numbers = self._scattered(stretch.at + 16 * skip, count)
        return rows.strings(list(self.files)).take(rows.integers(numbers[::2])), rows.integers(numbers[1::2])

    def _scattered(self, at: int, count: int) -> array[int]:
        numbers = array("q")
        numbers.frombytes(os.pread(self.scattered.fileno(), 16 * count, at))
        return numbers


def read(folder: Path) -> pa.Table:
    """The table that `Origins.write` wrote: columns file and line."""
    import pyarrow as pa

    with pa.memory_map(str(folder / FILE)) as source:
        return pa.ipc.open_file(source).read_all()


def _consecutive(lines: Sequence[int]) -> bool:
    if isinstance(lines, range):
        return lines.step == 1
    return not lines or (lines[-1] - lines[0] == len(lines) - 1 and list(lines) == list(range(lines[0], lines[-1] + 1)))
