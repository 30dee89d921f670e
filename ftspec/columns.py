"""One value per row, of all rows: in memory up to a budget, and beyond it in files without a name, mapped into memory.

The driver holds keys, row numbers and details of global steps in these. On disk they are plain Arrow buffers that are
appended to, so that the whole is one contiguous array again, and costs pages that the system may take back.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.arrays import integers
from ftspec.kept import nameless

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
            self.parts = [pa.concat_arrays(self.parts)]
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


class Disk:
    """An array on disk, one file per buffer: a byte per value that says whether it is null, offsets, data, child."""

    def __init__(self, folder: Path, type_: pa.DataType) -> None:
        import pyarrow as pa

        self.type = type_
        self.count = self.nulls = self.end = 0
        self.valid, self.offsets, self.data = (nameless(folder) for _ in range(3))
        self.child = Disk(folder, type_.value_type) if _is_list(type_) else None
        self.varies = self.child is not None or _is_text(type_)
        self.stored = pa.uint8() if pa.types.is_boolean(type_) else type_
        if self.varies:
            self.offsets.write(_bytes(integers([0])))

    def append(self, array: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(array) == 0:
            return
        self.valid.write(_bytes(pc.is_valid(array).cast(pa.uint8())))
        self.nulls += array.null_count
        self.count += len(array)
        if not self.varies:
            self.data.write(_bytes(array.cast(self.stored)))
            return
        lengths = pc.coalesce(_lengths(array), integers([0])[0])
        ends = pc.add(pc.cumulative_sum(lengths), integers([self.end])[0])
        self.offsets.write(_bytes(ends))
        self.end = ends[len(ends) - 1].as_py()
        if self.child is not None:
            self.child.append(array.flatten())
        else:
            self.data.write(_text_bytes(array))

    def read(self) -> pa.Array:
        import pyarrow as pa

        validity = None
        if self.nulls:
            flags = pa.Array.from_buffers(pa.uint8(), self.count, [None, _mapped(self.valid)])
            validity = flags.cast(pa.bool_()).buffers()[1]
        if not self.varies:
            return pa.Array.from_buffers(self.stored, self.count, [validity, _mapped(self.data)]).cast(self.type)
        offsets = _mapped(self.offsets)
        if self.child is not None:
            child = self.child.read()
            large = pa.large_list(child.type)
            return pa.Array.from_buffers(large, self.count, [validity, offsets], children=[child])
        large = pa.large_string() if _is_string(self.type) else pa.large_binary()
        return pa.Array.from_buffers(large, self.count, [validity, offsets, _mapped(self.data)])

    def close(self) -> None:
        for file in (self.valid, self.offsets, self.data):
            file.close()
        if self.child is not None:
            self.child.close()


def fits(type_: pa.DataType) -> bool:
    """Whether arrays of the type can be put on disk: flat ones, texts, and lists of them."""
    import pyarrow as pa

    if _is_list(type_):
        return fits(type_.value_type)
    return _is_text(type_) or bool(pa.types.is_primitive(type_) or pa.types.is_fixed_size_binary(type_))


def _mapped(file: Any) -> pa.Buffer:
    """The file's content as a buffer; what reads it keeps it alive after the file is closed."""
    import pyarrow as pa

    file.flush()
    size = file.seek(0, 2)
    return pa.py_buffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")


def _is_list(type_: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


def _is_string(type_: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _is_text(type_: pa.DataType) -> bool:
    import pyarrow as pa

    return _is_string(type_) or bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


def _lengths(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    counted = pc.binary_length(array) if _is_text(array.type) else pc.list_value_length(array)
    return counted.cast(pa.int64())


def _bytes(array: pa.Array) -> Any:
    """The values of an array of one width, whatever its offset."""
    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width)


def _text_bytes(array: pa.Array) -> Any:
    import pyarrow as pa

    if array.null_count:
        array = array.fill_null("" if _is_string(array.type) else b"")
    wide = array.cast(pa.large_string() if _is_string(array.type) else pa.large_binary())
    offsets = pa.Array.from_buffers(pa.int64(), len(wide) + 1, [None, wide.buffers()[1]], offset=wide.offset)
    start, end = offsets[0].as_py(), offsets[len(wide)].as_py()
    return wide.buffers()[2].slice(start, end - start) if end > start else b""
