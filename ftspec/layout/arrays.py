"""Arrow arrays from Python values, and scalars: without `pa.array` and `pa.scalar`.

Both import pandas wherever it is installed, to ask whether the values are a Series: 1.8 CPU seconds for nothing.
Builders and buffers do the same work, and know the type beforehand.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from functools import cache, lru_cache
from io import RawIOBase
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ftspec.common.errors import FtspecError
from ftspec.common.figures import plural

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def strings(values: Sequence[str | None]) -> pa.Array:
    """A string array; None is null. A lone surrogate, which UTF-8 has no bytes for, becomes U+FFFD."""
    import pyarrow as pa

    builder = pa.lib.StringBuilder()
    try:
        builder.append_values(values)
    except UnicodeEncodeError:
        builder = pa.lib.StringBuilder()
        builder.append_values([None if value is None else _encodable(value) for value in values])
    return builder.finish()


def binaries(values: Sequence[bytes | None]) -> pa.Array:
    """A binary array; None is null."""
    import pyarrow as pa

    given = [value or b"" for value in values]
    offsets = array("i", accumulate(map(len, given), initial=0))
    buffers = [_validity(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(given))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def integers(values: Sequence[int | None]) -> pa.Array:
    """An int64 array; None is null. Raises OverflowError beyond 64 bits."""
    import pyarrow as pa

    return _numbers(pa.int64(), "q", values)


def floats(values: Sequence[float | None]) -> pa.Array:
    """A float64 array; None is null."""
    import pyarrow as pa

    return _numbers(pa.float64(), "d", values)


def booleans(values: Sequence[bool | None]) -> pa.Array:
    """A boolean array; None is null."""
    import pyarrow as pa

    bits = _bits(bytes(value is True for value in values))
    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(values), bits])


def flags(values: bytes | bytearray) -> pa.Array:
    """A boolean array of one byte each: 0 is false."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


MOST_BYTES = 2**31 - 1
"""Of all texts of an array of type string."""


def with_texts(texts: pa.Array, places: Sequence[int], values: Sequence[str]) -> pa.Array:
    """The texts with others at `places`, which rise. What stands between two of them is copied as a whole:
    `replace_with_mask` takes twice as long where few texts change. Raises FtspecError for more than MOST_BYTES."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not places:
        return texts
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    encoded, at = [_utf8(value) for value in values], np.array(places)
    lengths = np.diff(bounds)
    lengths[at] = list(map(len, encoded))
    if lengths.sum(dtype=np.int64) > MOST_BYTES:
        message = f"the texts of {plural(len(texts), 'row')} that are worked on together are longer than 2 GiB"
        raise FtspecError(message, "shorten the longest ones: files are read in blocks of some MB, or of one row")
    if texts.null_count:
        mask = bytearray(len(texts))
        for place in places:
            mask[place] = 1
        return pc.replace_with_mask(texts, flags(mask), strings(values))
    made: np.ndarray[Any, Any] = np.zeros(len(bounds), np.int32)
    np.cumsum(lengths, out=made[1:])
    # Arrow's memory is used again and again; what `bytes.join` makes of some MB is new to the process each time.
    room = pa.allocate_buffer(int(made[-1]))
    into, whole = (memoryview(each).cast("B") for each in (room, data or b""))
    written, kept = 0, int(bounds[0])
    edges = (each.tolist() for each in (made[at], bounds[at], bounds[at + 1]))
    for value, put, begin, end in zip(encoded, *edges, strict=True):
        into[written:put] = whole[kept:begin]
        written, kept = put + len(value), end
        into[put:written] = value
    into[written:] = whole[kept : int(bounds[-1])]
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(made), room])


def json_texts(values: Sequence[str | None]) -> pa.Array:
    """An array of JSON texts, in Arrow's own `arrow.json` type, so that they are not taken for plain text."""
    import pyarrow as pa

    return pa.ExtensionArray.from_storage(pa.json_(pa.utf8()), strings(values))


def scalar(value: str | int | float | bool) -> pa.Scalar:
    """One value as an Arrow scalar."""
    # A float is not looked up: 0.0 and -0.0 are one key.
    return floats([value])[0] if isinstance(value, float) else _scalar(value)


@lru_cache(maxsize=1024, typed=True)
def _scalar(value: str | int | bool) -> pa.Scalar:
    if isinstance(value, bool):
        return booleans([value])[0]
    if isinstance(value, str):
        return strings([value])[0]
    return integers([value])[0]


def repeated(value: str | int | float | bool | None, count: int) -> pa.Array:
    """`count` times the same value; None makes null texts."""
    import pyarrow as pa

    return pa.nulls(count, pa.string()) if value is None else pa.repeat(scalar(value), count)


def as_numpy(values: pa.Array) -> np.ndarray[Any, Any]:
    """Numbers or booleans, none of them null, as a NumPy array: `to_numpy` imports pandas too."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(values.type):
        return as_numpy(values.cast(pa.uint8())).astype(np.bool_)
    made: np.ndarray[Any, Any] = np.from_dlpack(values)
    return made


def from_numpy(values: np.ndarray[Any, Any]) -> pa.Array:
    """An array of these numbers or booleans, of one dimension; not a copy. `pa.array` imports pandas too."""
    import numpy as np
    import pyarrow as pa

    if values.dtype == np.bool_:
        return from_numpy(values.view(np.uint8)).cast(pa.bool_())
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])


def is_json(column_type: pa.DataType) -> bool:
    """Whether a column holds JSON texts (and not plain ones)."""
    import pyarrow as pa

    return isinstance(column_type, pa.JsonType)


def undictionaried(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without dictionary encoding: the bytes of a batch, by which rows are kept and known again, leave
    dictionaries out."""
    for at, field in enumerate(batch.schema):
        plain = _undictionaried(field.type)
        if plain != field.type:
            batch = batch.set_column(at, field.with_type(plain), batch.column(at).cast(plain))
    return batch


@cache
def _undictionaried(column_type: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(column_type):
        return _undictionaried(column_type.value_type)
    if pa.types.is_struct(column_type):
        return pa.struct([_plain(field) for field in column_type])
    if pa.types.is_list(column_type):
        return pa.list_(_plain(column_type.value_field))
    if pa.types.is_large_list(column_type):
        return pa.large_list(_plain(column_type.value_field))
    if pa.types.is_fixed_size_list(column_type):
        return pa.list_(_plain(column_type.value_field), column_type.list_size)
    if pa.types.is_map(column_type):
        return pa.map_(_plain(column_type.key_field), _plain(column_type.item_field))
    return column_type


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(_undictionaried(field.type))


def stream(batch: pa.RecordBatch) -> list[Any]:
    """A batch as Arrow's stream, piece by piece: its own buffers, which `serialize` would copy."""
    import pyarrow as pa

    sink = _Pieces()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.pieces


class _Pieces(RawIOBase):
    """What is written to it, as it is."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(data)
        return len(data)


FEW = 0.01
"""Share of the rows up to which it is quicker to put the pieces between them together than to filter row by row."""


def without(batch: pa.RecordBatch, gone: pa.Array) -> pa.RecordBatch:
    """The batch without the rows for which `gone` (booleans, no nulls) is true."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if gone.true_count == 0:
        return batch
    if gone.true_count > FEW * len(gone):
        return batch.filter(pc.invert(gone))
    places = [-1, *pc.indices_nonzero(gone).to_pylist(), len(gone)]
    pieces = [batch.slice(place + 1, end - place - 1) for place, end in pairwise(places)]
    return pa.concat_batches([piece for piece in pieces if piece.num_rows])


def part_of(keys: pa.Array, parts: int) -> pa.Array:
    """Of each key the number of its part, below `parts`: the same in every process, where Python's own hash is not."""
    encoded = keys.dictionary_encode()
    numbers = integers([_hash(value) % parts for value in encoded.dictionary.to_pylist()])
    return numbers.take(encoded.indices).fill_null(0)


def _hash(value: Any) -> int:
    return zlib.crc32(value if isinstance(value, bytes) else str(value).encode())


def _numbers(column_type: pa.DataType, code: str, values: Sequence[Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    validity = None if isinstance(values, range) else _validity(values)
    data: Any
    if isinstance(values, range):
        data = np.arange(values.start, values.stop, values.step, dtype=code)
    else:
        data = array(code, values if validity is None else [0 if value is None else value for value in values])
    return pa.Array.from_buffers(column_type, len(values), [validity, pa.py_buffer(data)])


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    return _bits(bytes(value is not None for value in values)) if None in values else None


def _bits(flags: bytes | bytearray) -> pa.Buffer:
    """Packed bits from one byte per flag: Arrow's cast does it in C."""
    import pyarrow as pa

    whole = pa.Array.from_buffers(pa.uint8(), len(flags), [None, pa.py_buffer(flags)])
    return whole.cast(pa.bool_()).buffers()[1]


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        return _encodable(value).encode()


def _encodable(value: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
