"""One value per row, of all rows: in memory up to a budget, and beyond it in files without a name, mapped into memory.

The driver holds keys, row numbers and details of global steps in these. On disk they are plain Arrow buffers that are
appended to, so that the whole is one contiguous array again, and costs pages that the system may take back.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.data.buffers import Disk, fits, joined
from ftspec.layout.arrays import scalar

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 1 << 16
"""Values that are copied at a time."""


class Memory:
    """How many bytes all columns of a run may hold in memory together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    def take(self, count: int) -> bool:
        """Count so many bytes more; whether there is room for them."""
        self.used += count
        return self.used <= self.limit

    def give(self, count: int) -> None:
        self.used -= count


class Column:
    """Grows by arrays of one type; then read as one array."""

    def __init__(self, folder: Path, memory: Memory) -> None:
        self.folder, self.memory = folder, memory
        self.parts: list[pa.Array] = []
        self.held = 0
        self.count = 0
        self.type: pa.DataType | None = None
        self.given = False
        """Whether some value is not null."""
        self.disk: Disk | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def spilled(self) -> bool:
        return self.disk is not None

    def append(self, array: pa.Array) -> None:
        """Raises TypeError when the array is of another type than those before."""
        array = self._typed(array)
        self.count += len(array)
        if self.disk is None:
            self.parts.append(array)
            self.held += array.nbytes
            if not self.memory.take(array.nbytes) and self.given and fits(array.type):
                self._spill(array.type)
        else:
            self.disk.append(array)

    def whole(self) -> pa.Array:
        """Everything as one array."""
        import pyarrow as pa

        if self.disk is not None:
            return self.disk.read()
        if len(self.parts) > 1:
            parts, self.parts = self.parts, []
            self.parts = [joined(parts)]
        return self.parts[0] if self.parts else pa.nulls(0, self.type or pa.null())

    def take(self, places: pa.Array) -> Column:
        """A column of the values at these places, in their order."""
        whole, made = self.whole(), Column(self.folder, self.memory)
        made.type, made.given = self.type, self.given
        for start in range(0, len(places), PIECE):
            piece = whole.take(places.slice(start, PIECE))
            # What was on disk is read as the wide type: large_string, large_list.
            made.append(piece if self.type is None else piece.cast(self.type))
        return made

    def keep(self, places: pa.Array) -> Column:
        """`take` of rising places; this column gives its values up meanwhile, so that they are not there twice."""
        import pyarrow.compute as pc

        if self.disk is not None:
            made = self.take(places)
            self.close()
            return made
        made = Column(self.folder, self.memory)
        made.type, made.given = self.type, self.given
        parts, self.parts = self.parts[::-1], []
        start = first = 0
        while parts:
            part = parts.pop()
            end = start + len(part)
            last = first + bisect_left(places.slice(first, len(part)), end, key=lambda place: place.as_py())
            made.append(part.take(pc.subtract(places.slice(first, last - first), scalar(start))))
            self.held -= part.nbytes
            self.memory.give(part.nbytes)
            start, first = end, last
        self.close()
        return made

    def close(self) -> None:
        """Give back memory and disk."""
        self.memory.give(self.held)
        self.parts, self.held = [], 0
        if self.disk is not None:
            self.disk.close()
            self.disk = None

    def _typed(self, array: pa.Array) -> pa.Array:
        """The array in the column's type, which is that of the first value: nulls only are of any."""
        import pyarrow as pa

        empty = array.null_count == len(array)
        if self.type is None or not (self.given or array.type == self.type or empty):
            self.type = array.type
            self.parts = [pa.nulls(len(part), array.type) for part in self.parts]
            self.memory.give(self.held)
            self.held = sum(part.nbytes for part in self.parts)
            self.memory.take(self.held)
        self.given = self.given or not empty
        if array.type == self.type:
            return array
        if not empty:
            raise TypeError(f"{self.type}, then {array.type}")
        return pa.nulls(len(array), self.type)

    def _spill(self, type_: pa.DataType) -> None:
        self.disk = Disk(self.folder, type_)
        for part in self.parts:
            self.disk.append(part)
        self.memory.give(self.held)
        self.parts, self.held = [], 0
