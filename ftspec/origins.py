"""Where each row came from: file and line for a row number, and back.

Rows are numbered from 1 over all sources in order, so a chunk of a source is one stretch: its first row, its file and
the lines of its rows. A stretch of consecutive lines is a range, which costs nothing per row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ftspec import rows

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "origins.arrow"
BLOCK_ROWS = 1 << 16


class Stretch(NamedTuple):
    first: int
    file: str
    lines: Sequence[int]


class Origins:
    """All rows read so far."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.rows = 0

    def add(self, file: str, lines: Sequence[int]) -> int:
        """Number the rows of one chunk; returns the number of the first."""
        first = self.rows + 1
        if len(lines):
            self.stretches.append(Stretch(first, file, _compact(lines)))
        self.rows += len(lines)
        return first

    def locate(self, row: int) -> tuple[str, int]:
        """File and 1-based line of a row; ("", 0) for a number that no row has."""
        index = bisect_right(self.stretches, row, key=lambda stretch: stretch.first) - 1
        if index < 0 or row > self.rows:
            return "", 0
        stretch = self.stretches[index]
        return stretch.file, stretch.lines[row - stretch.first]

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
            for block in self._blocks():
                columns = list(zip(*block, strict=True))
                arrays = [rows.strings(columns[0]), rows.integers(columns[1])]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))

    def _blocks(self) -> Iterator[list[tuple[str, int]]]:
        """Blocks of one size, however the sources cut their chunks."""
        block: list[tuple[str, int]] = []
        for stretch in self.stretches:
            for line in stretch.lines:
                block.append((stretch.file, line))
                if len(block) == BLOCK_ROWS:
                    yield block
                    block = []
        if block:
            yield block


def read(folder: Path) -> pa.Table:
    """The table that `Origins.write` wrote: columns file and line."""
    import pyarrow as pa

    with pa.memory_map(str(folder / FILE)) as source:
        return pa.ipc.open_file(source).read_all()


def _compact(lines: Sequence[int]) -> Sequence[int]:
    whole = range(lines[0], lines[0] + len(lines))
    return whole if isinstance(lines, range) or list(lines) == list(whole) else tuple(lines)
