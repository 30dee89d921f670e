"""Fingerprints of rows, as `rows.fingerprints` makes them: in machine code where it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftspec import rows
from ftspec.builtin.near import native, words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SHARE = 8
"""It saves so much less on a byte than with near-duplicates, for whose sake code is loaded and compiled."""


def fingerprints(batch: pa.RecordBatch, columns: Sequence[str] = ()) -> pa.Array:
    import pyarrow.compute as pc

    compiled = native.loaded(batch.nbytes // SHARE)
    if compiled:
        texts = rows.canonical_rows(batch, columns)
        if not texts.null_count and pc.min(pc.binary_length(texts)).as_py():
            return _binaries(compiled.digests(*words.text_bytes(texts)))
    return rows.fingerprints(batch, columns)


def _binaries(digests: NDArray[np.uint64]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    offsets: NDArray[np.int32] = np.arange(0, rows.KEY_BYTES * len(digests) + 1, rows.KEY_BYTES, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(digests), [None, pa.py_buffer(offsets), pa.py_buffer(digests)])
