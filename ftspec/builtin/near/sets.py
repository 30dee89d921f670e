"""Sets of numbers, many at once: what of them, cut to fit in memory, and how similar two of them are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ftspec import rows
from ftspec.compiled import native
from ftspec.compiled.hashes import Hashes, distinct

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

    def sizes_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the chosen sets alone."""
        return self.offsets[chosen + 1] - self.offsets[chosen]

    def elements(self, chosen: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Every element of the chosen sets, set by set."""
        import numpy as np

        start, size = self.offsets[chosen], self.sizes_of(chosen)
        ends = np.cumsum(size)
        places: NDArray[np.int64] = np.repeat(start - (ends - size), size)
        places += np.arange(len(places))
        return self.values.take(places)


def of_shingles(shingles: Hashes) -> Sets:
    """The set of each group's shingles: the upper BITS of their hashes."""
    import numpy as np

    compiled = native.loaded()
    if compiled:
        return Sets(*compiled.sets(shingles))
    groups = len(shingles.offsets) - 1
    owners = np.arange(groups, dtype=np.uint64) << np.uint64(BITS)
    keyed: NDArray[np.uint64] = np.repeat(owners, np.diff(shingles.offsets))
    keyed |= shingles.values >> np.uint64(64 - BITS)
    return _by_owner(distinct(keyed), groups)


def united(parts: list[tuple[int, Sets]], count: int) -> Sets:
    """The sets 0 … count - 1 of parts that have some in a row, from a first one on; what several parts have of one set
    is united. Parts of different sets rise."""
    import numpy as np

    values = np.concatenate([np.zeros(0, np.uint32), *(part.values for _, part in parts)])
    sizes: NDArray[np.int64] = np.zeros(count, np.int64)
    for first, part in parts:
        sizes[first : first + len(part.sizes)] += part.sizes
    if all(one < other for (one, _), (other, _) in pairwise(parts)):
        return Sets(values, np.concatenate([[0], np.cumsum(sizes)]))
    owners: list[NDArray[np.int64]] = []
    for first, part in parts:
        owners.append(np.repeat(np.arange(first, first + len(part.sizes)), part.sizes))
    keyed = np.concatenate(owners).astype(np.uint64) << np.uint64(BITS)
    return _by_owner(distinct(keyed | values), count)


def _by_owner(keyed: NDArray[np.uint64], count: int) -> Sets:
    """Sets of numbers that rise, whose bits above BITS say which set's they are."""
    import numpy as np

    sizes = np.bincount((keyed >> np.uint64(BITS)).astype(np.int64), minlength=count)
    return Sets(keyed.astype(np.uint32), np.concatenate([[0], np.cumsum(sizes)]))


def read_sets(lists: pa.Array) -> Sets:
    """The sets of an array of lists, as `keys.lists_of` makes it."""
    import numpy as np

    if len(lists) == 0:  # no row was worth a look, so nobody has told the type of what there would have been
        return Sets(np.zeros(0, np.uint32), np.zeros(1, np.int64))
    return Sets(rows.as_numpy(lists.values), rows.as_numpy(lists.offsets).astype(np.int64))


def jaccard(sets: Sets, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """The similarity of sets one[i] and other[i]: what both have over what either has; no set is empty."""
    import numpy as np

    total = sets.sizes_of(one) + sets.sizes_of(other)
    shared = _shared(sets, one, other)
    return np.asarray(shared / (total - shared), np.float64)


def _shared(sets: Sets, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many elements sets one[i] and other[i] have in common."""
    import numpy as np

    compiled = native.loaded()
    if compiled:
        return compiled.shared(sets.values, sets.offsets, one, other)
    made: NDArray[np.int64] = np.zeros(len(one), np.int64)
    for start, end in cut(sets.sizes_of(one) + sets.sizes_of(other)):
        chosen = np.concatenate([one[start:end], other[start:end]])
        pair = np.tile(np.arange(end - start, dtype=np.uint64) << np.uint64(BITS), 2)
        keys: NDArray[np.uint64] = np.repeat(pair, sets.sizes_of(chosen))
        keys |= sets.elements(chosen)
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(BITS)
        made[start:end] = np.bincount(twice.astype(np.int64), minlength=end - start)
    return made


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
