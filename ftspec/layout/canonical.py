"""What two values of a column have alike when they are equal: one text each, and a digest per row.

They depend on the values only: not on the order of columns or keys, nor on how rows were cut into batches.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec.layout import chat
from ftspec.layout.arrays import as_numpy, binaries, is_json, scalar, strings
from ftspec.layout.chat import decode
from ftspec.layout.rowcolumns import OWN
from ftspec.layout.texts import as_text

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

JSON_CHILDREN = ("parts", "tool_calls", "extra")
KEY_BYTES = 16
"""Of a fingerprint, and of an equal key."""
END, NOTHING = b"\xff", b"\xfe"
"""Bytes that UTF-8 does not know: one ends a field, the other stands for none."""


def fingerprints(batch: pa.RecordBatch, columns: Sequence[str] = (), salt: str = "") -> pa.Array:
    """16 bytes per row that say what stands in `columns` (all visible ones when none are named).

    They depend on the values only: not on the order of columns or keys, on white space between JSON tokens, or on
    whether a null is written out. Null where every column is null. BLAKE2b, keyed by `salt`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = _filled_ones(batch, columns)
    if not names:
        return pa.nulls(batch.num_rows, pa.binary())
    entries = [_entry(name, canonical(batch.column(name))) for name in names]
    joined = entries[0]
    if len(entries) > 1:
        joined = pc.binary_join_element_wise(*(_filled(each, "") for each in entries), scalar(""))
    return _digests(joined.cast(pa.binary()).to_pylist(), hashlib.blake2b(salt.encode(), digest_size=KEY_BYTES))


def equal_keys(batch: pa.RecordBatch, columns: Sequence[str] = ()) -> pa.Array:
    """16 bytes per row, equal exactly where fingerprints are, for less than half of the time; null where those are.

    XXH3 of 128 bits: chance makes no two values meet, but whoever wants to can. So this tells which rows are equal, and
    chooses none. What each column gives is combined by exclusive or: its name is the seed.
    """
    import numpy as np
    import pyarrow as pa
    from xxhash import xxh3_64_intdigest

    keys: NDArray[np.uint64] = np.zeros((batch.num_rows, KEY_BYTES // 8), np.uint64)
    given: NDArray[np.bool_] = np.zeros(batch.num_rows, np.bool_)
    for name in set(_filled_ones(batch, columns)):
        texts = _distinct(batch.column(name))
        valid = as_numpy(texts.is_valid())
        found = _hashed(texts, xxh3_64_intdigest(name.encode()))
        keys ^= found if texts.null_count == 0 else found * valid[:, None]
        given |= valid
    validity = pa.py_buffer(np.packbits(given, bitorder="little"))
    return pa.Array.from_buffers(pa.binary(KEY_BYTES), len(keys), [validity, pa.py_buffer(keys)])


def _hashed(texts: pa.Array, seed: int) -> NDArray[np.uint64]:
    """(texts, 2): of nulls anything."""
    import numpy as np
    from xxhash import xxh3_128_digest as digest

    _, offsets, data = texts.buffers()
    bounds = memoryview(offsets).cast("i")[texts.offset : texts.offset + len(texts) + 1].tolist()
    view = memoryview(data or b"")
    made = b"".join([digest(view[start:end], seed) for start, end in pairwise(bounds)])
    return np.frombuffer(made, np.uint64).reshape(-1, KEY_BYTES // 8)


def _distinct(column: pa.Array) -> pa.Array:
    """Texts or bytes that are equal exactly when those of `canonical` are. What ends a message's field is a byte that
    UTF-8 does not know, so lengths need not be written: that takes a third of the time."""
    if column.type != chat.messages_type():
        return canonical(column)
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = chat.compact(column)
    pieces: list[pa.Array | bytes] = []
    for name, child in _fields(whole).items():
        absent = name != "role" and child.null_count == len(child)
        pieces.append(NOTHING if absent else child.cast("string").cast(pa.binary()))
    together = (list(each) for _, each in groupby([*pieces, b""], key=lambda piece: isinstance(piece, bytes)))
    parts = [[binaries([END.join(each)])[0]] if isinstance(each[0], bytes) else each for each in together]
    end, nothing = binaries([END])[0], {"null_handling": "replace", "null_replacement": NOTHING}
    return _joined(whole, pc.binary_join_element_wise(*(piece for each in parts for piece in each), end, **nothing))


def _filled_ones(batch: pa.RecordBatch, columns: Sequence[str]) -> list[str]:
    """Names of the chosen columns (all visible ones when none are) that hold a value: nulls leave no trace."""
    names = [name for name in (columns or batch.schema.names) if name in batch.schema.names and name not in OWN]
    return sorted(name for name in names if batch.column(name).null_count < batch.num_rows)


def _digests(texts: list[bytes | None], start: Any) -> pa.Array:
    """The digest of each text behind what `start` has seen; null where there is none."""
    import pyarrow as pa

    digests = []
    for text in texts:
        if not text:
            return binaries([_digest(start, text) if text else None for text in texts])
        state = start.copy()
        state.update(text)
        digests.append(state.digest())
    offsets = array("i", range(0, KEY_BYTES * len(texts) + 1, KEY_BYTES))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(digests))]
    return pa.Array.from_buffers(pa.binary(), len(texts), buffers)


def canonical(column: pa.Array) -> pa.Array:
    """One text per value that is equal exactly when the values are: "s" and the text, or "j" and sorted JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.string():
        return pc.binary_join_element_wise(scalar("s"), column, scalar(""))
    if column.type == chat.messages_type():
        whole = chat.compact(column)
        return _joined(whole, _canonical_messages(whole))
    if is_json(column.type):
        return strings([canonical_json(text) for text in column.storage.to_pylist()])
    return pc.binary_join_element_wise(scalar("j"), as_text(column), scalar(""))


def _joined(lists: pa.Array, texts: pa.Array) -> pa.Array:
    """The texts of each list as one: they lie one behind the other, so only the bounds are new."""
    import pyarrow as pa

    validity, zeros = lists.buffers()[:2]
    if len(texts) == 0:
        return pa.Array.from_buffers(texts.type, len(lists), [validity, zeros, pa.py_buffer(b"")])
    ends = pa.Array.from_buffers(pa.int32(), len(texts) + 1, [None, texts.buffers()[1]]).take(lists.offsets)
    return pa.Array.from_buffers(texts.type, len(lists), [validity, ends.buffers()[1], texts.buffers()[2]])


def _canonical_messages(messages: pa.Array) -> pa.Array:
    """Each field's netstring, or "-", of each message. Arrow copies all of it once."""
    import pyarrow.compute as pc

    fields = _fields(messages)
    pieces: list[pa.Array | str] = []
    for name in chat.FIELDS:
        child = fields[name]
        if name != "role" and child.null_count == len(child):
            pieces.append("-")
        elif child.null_count:
            pieces.append(_filled(_netstring(child.cast("string")), "-"))
        else:
            pieces += _pieces(child.cast("string"))
    together = (list(each) for _, each in groupby(pieces, key=lambda piece: isinstance(piece, str)))
    parts = [[scalar("".join(each))] if isinstance(each[0], str) else each for each in together]
    return pc.binary_join_element_wise(*(piece for each in parts for piece in each), scalar(""))


def _fields(messages: pa.Array) -> dict[str, pa.Array]:
    """Each field of all messages, JSON as `canonical_json` has it."""
    fields = chat.children(messages)
    for name in JSON_CHILDREN:
        if fields[name].null_count < len(fields[name]):
            fields[name] = strings([canonical_json(text) for text in fields[name].to_pylist()])
    return fields


def _entry(name: str, texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    length, colon, text = _pieces(texts)
    return pc.binary_join_element_wise(scalar(f"{len(name.encode())}:{name}"), length, scalar(colon), text, scalar(""))


def _netstring(texts: pa.Array) -> pa.Array:
    """`length:text`: joined ones cannot be cut in two ways."""
    import pyarrow.compute as pc

    length, colon, text = _pieces(texts)
    return pc.binary_join_element_wise(length, text, scalar(colon))


def _pieces(texts: pa.Array) -> tuple[pa.Array, str, pa.Array]:
    """What a netstring is made of."""
    import pyarrow.compute as pc

    return pc.binary_length(texts).cast("string"), ":", texts


def _filled(texts: pa.Array, filler: str) -> pa.Array:
    """With `filler` for nulls."""
    import pyarrow.compute as pc

    return pc.coalesce(texts, scalar(filler)) if texts.null_count else texts


def canonical_json(text: str | None) -> str | None:
    """A JSON text as `canonical` has it."""
    if text is None:
        return None
    value = decode(text)
    return f"s{value}" if isinstance(value, str) else f"j{msgspec.json.encode(value, order='sorted').decode()}"


def _digest(start: Any, text: bytes) -> bytes:
    state = start.copy()
    state.update(text)
    digest: bytes = state.digest()
    return digest
