"""Sets of numbers, many at once: what of them, cut to fit in memory, and how similar two of them are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ftspec import rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

BITS = 32
"""Of an element, which is the upper half of a shingle's hash: two sets of 100 different shingles each share one by
mistake once in 400,000 pairs. The bits above are a set's or a pair's, so one sort of plain numbers groups both."""
CHUNK = 1 << 20
"""Elements that are worked on at once."""


class Sets(NamedTuple):
    """Set i is `values[offsets[i]:offsets[i + 1]]`, sorted, each element once."""

    values: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        import numpy as np

        return np.diff(self.offsets)

    def elements(self, chosen: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Every element of the chosen sets, set by set."""
        import numpy as np

        start = self.offsets[chosen]
        size = self.offsets[chosen + 1] - start
        ends = np.cumsum(size)
        places: NDArray[np.int64] = np.repeat(start - (ends - size), size)
        places += np.arange(len(places))
        return self.values.take(places)


def read_sets(lists: pa.Array) -> Sets:
    """The sets of an array of lists, as `keys.lists_of` makes it."""
    import numpy as np

    if len(lists) == 0:  # no row was worth a look, so nobody has told the type of what there would have been
        return Sets(np.zeros(0, np.uint32), np.zeros(1, np.int64))
    return Sets(rows.as_numpy(lists.values), rows.as_numpy(lists.offsets).astype(np.int64))


def jaccard(sets: Sets, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """The similarity of sets one[i] and other[i]: what both have over what either has; no set is empty."""
    import numpy as np

    sizes = sets.sizes
    total = sizes[one] + sizes[other]
    shared: NDArray[np.int64] = np.zeros(len(one), np.int64)
    for start, end in cut(total):
        chosen = np.concatenate([one[start:end], other[start:end]])
        pair = np.tile(np.arange(end - start, dtype=np.uint64) << np.uint64(BITS), 2)
        keys: NDArray[np.uint64] = np.repeat(pair, sizes[chosen])
        keys |= sets.elements(chosen)
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(BITS)
        shared[start:end] = np.bincount(twice.astype(np.int64), minlength=end - start)
    return np.asarray(shared / (total - shared), np.float64)


def cut(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of at most CHUNK elements, or of one set."""
    import numpy as np

    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + CHUNK, "right")), start + 1)
        yield start, end
        start = end
