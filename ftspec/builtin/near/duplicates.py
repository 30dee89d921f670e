"""Near-duplicates in one place: what of each row is kept for it, which rows are looked at again, and which go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ftspec import api, rows
from ftspec.builtin.near import join, minhash
from ftspec.builtin.near.groups import Groups
from ftspec.builtin.near.keys import Keys, keys_of, lists_of, shingles_of
from ftspec.builtin.near.sets import read_sets

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


class Near(NamedTuple):
    """The parts of near-duplicate detection: a key per row, rows worth a closer look, their sets, what is dropped."""

    threshold: float
    shingle: int
    columns: tuple[str, ...] = ()

    @property
    def bands(self) -> minhash.Bands:
        return minhash.bands(self.threshold)

    def keys(self, batch: pa.RecordBatch) -> pa.Array:
        return keys_of(shingles_of(batch, self.columns, size=self.shingle), batch.num_rows, self.bands)

    def wanted(self, keys: pa.Array, numbers: pa.Array) -> pa.Array:
        """Of rows that share a band, the first one of each set."""
        found = Keys.read(keys)
        return numbers.take(rows.from_numpy(found.candidates()))

    def details(self, batch: pa.RecordBatch) -> pa.Array:
        return lists_of(shingles_of(batch, self.columns, size=self.shingle), batch.num_rows)

    def reduce(self, keys: pa.Array, numbers: pa.Array, looked: pa.Array, details: pa.Array) -> api.Dropped:
        """All but the first of each group."""
        import numpy as np

        found = Keys.read(keys)
        firsts = found.firsts()
        places = _places(numbers, looked)
        groups = Groups(len(places))
        join.join(read_sets(details), found.bands[places], self.threshold, groups)
        keeper: NDArray[np.uint32] = np.arange(len(keys), dtype=np.uint32)
        keeper[places] = places[groups.of]
        because = keeper[firsts]
        dropped = np.flatnonzero(because != np.arange(len(keys), dtype=np.uint32))
        return api.Dropped(numbers.take(rows.from_numpy(dropped)), numbers.take(rows.from_numpy(because[dropped])))


def _places(numbers: pa.Array, looked: pa.Array) -> NDArray[np.int64]:
    """Where in `numbers`, which most likely rise, those that were looked at stand in the same order."""
    import numpy as np
    import pyarrow.compute as pc

    places = np.asarray(np.searchsorted(rows.as_numpy(numbers), rows.as_numpy(looked)))
    if places.max(initial=-1) < len(numbers) and numbers.take(rows.from_numpy(places)).equals(looked):
        return places
    return rows.as_numpy(pc.index_in(looked, value_set=numbers)).astype(np.int64)
