"""Arrow arrays by their buffers: many joined to one that is hardly ever there twice, and such that grow on disk."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.files.kept import nameless
from ftspec.files.memory import give_back
from ftspec.layout.arrays import integers

if TYPE_CHECKING:
    import pyarrow as pa


MOST = 2**31 - 1
"""Bytes that the texts of an array have at the most, unless they are large ones."""
LEFT = 128 << 20
"""Bytes of parts that have been copied after which their memory is given back: it would be kept for later."""


def joined(parts: list[pa.Array]) -> pa.Array:
    """One array of all parts, of which there is at least one. The list is emptied meanwhile, so that numbers, texts and
    large lists of them are hardly ever there twice. Texts of more than MOST bytes become large ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    type_, count = parts[0].type, sum(len(part) for part in parts)
    validity = None
    if any(part.null_count for part in parts):
        validity = pa.concat_arrays([pc.is_valid(part) for part in parts]).buffers()[1]
    if pa.types.is_large_list(type_):
        ends = pa.concat_arrays([integers([0]), pc.cumulative_sum(_all_lengths(parts))])
        inside = [part.flatten() for part in parts]
        parts.clear()
        return pa.Array.from_buffers(type_, count, [validity, ends.buffers()[1]], children=[joined(inside)])
    if _is_text(type_):
        ends = pa.concat_arrays([integers([0]), pc.cumulative_sum(_all_lengths(parts))])
        size = ends[count].as_py()
        if size > MOST:
            type_ = pa.large_string() if _is_string(type_) else pa.large_binary()
        wide = type_ in (pa.large_string(), pa.large_binary())
        offsets = (ends if wide else ends.cast(pa.int32())).buffers()[1]
        return pa.Array.from_buffers(type_, count, [validity, offsets, _moved(parts, size, _text_bytes)])
    if pa.types.is_boolean(type_) or not (pa.types.is_primitive(type_) or pa.types.is_fixed_size_binary(type_)):
        whole = pa.concat_arrays(parts)
        parts.clear()
        return whole
    return pa.Array.from_buffers(type_, count, [validity, _moved(parts, count * type_.bit_width // 8, _bytes)])


def _all_lengths(parts: list[pa.Array]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa.concat_arrays([pc.coalesce(_lengths(part), integers([0])[0]) for part in parts])


def _moved(parts: list[pa.Array], size: int, bytes_of: Callable[[pa.Array], Any]) -> pa.Buffer:
    """The bytes of all parts, one after the other; each part is given up when it has been copied."""
    import pyarrow as pa

    made = pa.allocate_buffer(size)
    target, start, given = memoryview(made).cast("B"), 0, 0
    parts.reverse()
    while parts:
        values = memoryview(bytes_of(parts.pop())).cast("B")
        target[start : start + len(values)] = values
        start += len(values)
        if start - given >= LEFT:
            give_back()
            given = start
    return made


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
