"""What is known of each row's shingles: all of them as a set, or in few bytes as a key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ftspec import rows
from ftspec.builtin.near import join, minhash, sets, texts, words
from ftspec.builtin.recurring import recurring
from ftspec.compiled import hashes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

TOTAL_BYTES = 8


class Keys(NamedTuple):
    """All rows' keys as numbers: a total and bands per row, in their order; `given` where a row has words.

    A key is what is known of the row's set in few bytes: its total (8 bytes), then 4 bytes for each band.
    """

    given: NDArray[np.bool_]
    table: NDArray[np.uint32]

    @classmethod
    def read(cls, keys: pa.Array) -> Keys:
        import numpy as np

        width = keys.type.byte_width
        start = keys.offset * width
        data = np.frombuffer(keys.buffers()[1], np.uint8)[start : start + len(keys) * width]
        table = data.view(np.uint32).reshape(len(keys), width // 4)
        return cls(rows.as_numpy(keys.is_valid()), table)

    @property
    def bands(self) -> NDArray[np.uint32]:
        return self.table[:, TOTAL_BYTES // 4 :]

    def firsts(self) -> NDArray[np.uint32]:
        """For each row, the first one with the same set (itself where it has no words)."""
        import numpy as np

        places = np.flatnonzero(self.given)
        places = places[recurring(self.totals(places))]
        totals = self.totals(places)
        order = np.argsort(totals, kind="stable")
        risen = np.concatenate([[True], totals[order[1:]] != totals[order[:-1]]])
        first = np.maximum.accumulate(np.where(risen, np.arange(len(order)), 0))
        made: NDArray[np.uint32] = np.arange(len(self.given), dtype=np.uint32)
        made[places[order]] = places[order[first]]
        return made

    def totals(self, places: NDArray[np.int64]) -> NDArray[np.uint64]:
        import numpy as np

        return np.ascontiguousarray(self.table[places, : TOTAL_BYTES // 4]).view(np.uint64).ravel()

    def candidates(self, firsts: NDArray[np.uint32] | None = None) -> NDArray[np.int64]:
        """The first rows of their set that share a band with another such row, in order. One band at a time."""
        import numpy as np

        firsts = self.firsts() if firsts is None else firsts
        alone = np.flatnonzero((firsts == np.arange(len(firsts), dtype=np.uint32)) & self.given)
        found: NDArray[np.bool_] = np.zeros(len(firsts), np.bool_)
        for band in self.bands.T:
            found[alone[join.sharing(band[alone]).places]] = True
        return np.flatnonzero(found)


Shingles = Iterable[tuple[int, int, hashes.Hashes]]
"""(first row, end, shingles by row) of parts of a batch; a row is in one part for each of its columns."""


def keys_of(parts: Shingles, count: int, bands: minhash.Bands) -> pa.Array:
    """Fixed-size binaries, one for each of `count` rows, null for those without a word."""
    import numpy as np
    import pyarrow as pa

    sketches = minhash.Sketches.empty(bands.permutations, count)
    given: NDArray[np.bool_] = np.zeros(count, np.bool_)
    for start, end, shingles in parts:
        sketches.add(start, shingles)
        given[start:end] |= np.diff(shingles.offsets) > 0
    table: NDArray[np.uint32] = np.empty((count, TOTAL_BYTES // 4 + bands.number), np.uint32)
    table[:, : TOTAL_BYTES // 4] = sketches.totals.view(np.uint32).reshape(count, 2)
    table[:, TOTAL_BYTES // 4 :] = minhash.band_keys(sketches.least, bands)
    validity = pa.py_buffer(np.packbits(given, bitorder="little"))
    return pa.Array.from_buffers(pa.binary(table.itemsize * table.shape[1]), count, [validity, pa.py_buffer(table)])


def lists_of(parts: Shingles, count: int) -> pa.Array:
    """The set of each row's shingles as a list of sorted numbers."""
    import pyarrow as pa

    values, offsets = sets.united([(start, sets.of_shingles(shingles)) for start, _, shingles in parts], count)
    flat = rows.from_numpy(values)
    return pa.Array.from_buffers(pa.large_list(pa.uint32()), count, [None, pa.py_buffer(offsets)], children=[flat])


def shingles_of(
    batch: pa.RecordBatch, columns: Sequence[str] = (), roles: Sequence[str] = (), *, size: int
) -> Iterator[tuple[int, int, hashes.Hashes]]:
    """The shingles of what `texts.of_batch` reads, block by block. Columns do not share shingles, so that a pair whose
    answers are swapped is no duplicate."""
    for name, read in texts.of_batch(batch, columns, roles):
        salt = hashes.salt(name)
        for start, end, found in words.blocks(read):
            yield start, end, words.shingles(words.regrouped(found, read.offsets[start : end + 1]), size, salt)
