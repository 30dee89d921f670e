"""Which sets are similar: every pair above a threshold is found, by prefixes; and the groups that such pairs make.

The prefix filter (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): order all elements, rare ones
first. Two sets can only have a Jaccard similarity of t when they share one of the first n - ceil(t n) + 1 elements of
each, where n is how many that set has. What half of all rows have in common, a template or a licence, stands last in
that order, so rows are not compared because of it. Where even the rare elements are common to many rows, those rows
are nearly equal: each is compared with the smallest set and with its neighbours in size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftspec.builtin.near.hashes import Hashes, distinct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE = 10_000
"""Sets by which it is told which elements are common; any order makes the filter exact, a good one makes it fast."""
COMMON = 0.001
NEIGHBOURS = 32
"""An element that more sets have in their prefixes than this: each is compared with so many, next in size."""
PART = 1 << 23
"""Elements of prefixes that are held at once."""
CHUNK = 1 << 20
"""Elements of sets that are worked on at once."""
PAIRS = 1 << 16
"""Pairs whose bitmaps are compared at once."""
BITS = 512
FLAGGED = 1024
"""Sets whose bitmaps are made at once, of a byte per bit first."""
SLOT_BITS = 18
HASH_BITS = 48
"""Of an element. The bits above are the set's, or the pair's, in a chunk: so one sort of plain numbers groups both."""


class Groups:
    """Disjoint groups of the numbers 0 … count - 1; each is called by its smallest member."""

    def __init__(self, count: int) -> None:
        import numpy as np

        self.of: NDArray[np.int64] = np.arange(count)

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Put one[i] and other[i] into the same group, for every i."""
        import numpy as np

        while True:
            first, second = self.of[one], self.of[other]
            apart = first != second
            if not apart.any():
                return
            one, other, first, second = one[apart], other[apart], first[apart], second[apart]
            np.minimum.at(self.of, np.maximum(first, second), np.minimum(first, second))
            while not np.array_equal(up := self.of[self.of], self.of):
                self.of = up


def similar(sets: Hashes, threshold: float, groups: Groups) -> None:
    """Join in `groups` all sets with a Jaccard similarity of at least `threshold`.

    Args:
        sets: elements below 2**HASH_BITS, each set sorted and without repeats; none is empty.
    """
    import numpy as np

    sizes = np.diff(sets.offsets)
    if len(sizes) < 2:
        return
    order = np.argsort(sizes, kind="stable")
    common, bits = _common(sets), _bitmaps(sets, sizes)
    lengths = prefix_lengths(sizes, threshold)
    parts = max(1, -(-int(lengths.sum()) // PART))
    for part in range(parts):
        for one, other in _candidates(sets, order, common, lengths, part, parts):
            one, other = _possible(sizes, bits, one, other, threshold, groups)
            alike = jaccard(sets, one, other) >= threshold
            groups.join(one[alike], other[alike])


def prefix_lengths(sizes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    import numpy as np

    return sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1


def jaccard(sets: Hashes, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """The similarity of sets one[i] and other[i]."""
    import numpy as np

    sizes = np.diff(sets.offsets)
    total = sizes[one] + sizes[other]
    shared: NDArray[np.int64] = np.zeros(len(one), np.int64)
    for start, end in _cut(total):
        chosen = np.concatenate([one[start:end], other[start:end]])
        pair = np.tile(np.arange(end - start, dtype=np.uint64) << np.uint64(HASH_BITS), 2)
        keys: NDArray[np.uint64] = np.repeat(pair, sizes[chosen])
        keys |= _elements(sets, chosen)
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(HASH_BITS)
        shared[start:end] = np.bincount(twice.astype(np.int64), minlength=end - start)
    return np.asarray(shared / (total - shared), np.float64)


def _possible(
    sizes: NDArray[np.int64], bits: NDArray[np.uint64], one: NDArray[np.int64], other: NDArray[np.int64],
    threshold: float, groups: Groups,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Of these pairs, those that are not in one group yet, and that sizes and bitmaps do not rule out."""
    import numpy as np

    open_ = groups.of[one] != groups.of[other]
    pairs = distinct((one[open_] << 32) | other[open_])
    one, other = pairs >> 32, pairs & 0xFFFFFFFF
    fewer, more = np.minimum(sizes[one], sizes[other]), np.maximum(sizes[one], sizes[other])
    near = fewer >= threshold * more - 1e-9
    one, other = one[near], other[near]
    near = np.concatenate(
        [
            _bits_allow(sizes, bits, one[start : start + PAIRS], other[start : start + PAIRS], threshold)
            for start in range(0, len(one), PAIRS)
        ]
        or [np.zeros(0, np.bool_)]
    )
    return one[near], other[near]


def _bits_allow(
    sizes: NDArray[np.int64], bits: NDArray[np.uint64], one: NDArray[np.int64], other: NDArray[np.int64],
    threshold: float,
) -> NDArray[np.bool_]:  # fmt: skip
    import numpy as np

    total = sizes[one] + sizes[other]
    differ = np.bitwise_count(bits[one] ^ bits[other]).sum(axis=1, dtype=np.int64)
    most = (total - differ) // 2
    return np.asarray(most >= threshold * (total - most) - 1e-9, np.bool_)


def _bitmaps(sets: Hashes, sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """BITS per set, of which its elements set some: where two bitmaps differ, so many elements differ at least (the
    bitmap filter: Sandes, Teodoro and Melo 2020)."""
    import numpy as np

    made: NDArray[np.uint64] = np.zeros((len(sizes), BITS // 64), np.uint64)
    for start, end in _cut(sizes):
        for first in range(start, end, FLAGGED):
            last = min(first + FLAGGED, end)
            places = (sets.values[sets.offsets[first] : sets.offsets[last]] & np.uint64(BITS - 1)).astype(np.int64)
            places += np.repeat(np.arange(last - first) * BITS, sizes[first:last])
            flags: NDArray[np.bool_] = np.zeros((last - first) * BITS, np.bool_)
            flags[places] = True
            made[first:last] = np.packbits(flags).view(np.uint64).reshape(-1, BITS // 64)
    return made


def _candidates(
    sets: Hashes, order: NDArray[np.int64], common: Hashes, lengths: NDArray[np.int64], part: int, parts: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs that share an element of this part of their prefixes: first those with the smallest set that has it."""
    import numpy as np

    known = max(0, len(order).bit_length() - (64 - HASH_BITS))
    waiting = [_prefixes(sets, order, common, lengths, part, parts)]
    if known:
        elements, places = waiting.pop()
        ends = elements & np.uint64((1 << known) - 1)
        waiting = [(elements[ends == end], places[ends == end]) for end in range(1 << known)]
        del elements, places, ends
    while waiting:
        yield from _sharing(waiting.pop(), order, known)


def _sharing(
    prefixes: tuple[NDArray[np.uint64], NDArray[np.int64]], order: NDArray[np.int64], known: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The pairs of prefixes whose elements are equal in their lowest `known` bits: an element without those, and a
    place, are one plain number, and sorted as such."""
    import numpy as np

    bits = np.uint64(64 - HASH_BITS + known)
    keys = (prefixes[0] >> np.uint64(known)) << bits
    keys |= prefixes[1].astype(np.uint64)
    del prefixes
    keys.sort()
    again = np.concatenate([[False], keys[1:] >> bits == keys[:-1] >> bits])
    places = (keys & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    del keys
    start = np.maximum.accumulate(np.where(again, 0, np.arange(len(places), dtype=np.int32)))
    followers = np.flatnonzero(again)
    yield order[places[start[followers]]], order[places[followers]]
    for back in range(1, NEIGHBOURS + 1):
        followers = followers[followers - start[followers] > back]
        if len(followers) == 0:
            return
        yield order[places[followers - back]], order[places[followers]]


def _prefixes(
    sets: Hashes, order: NDArray[np.int64], common: Hashes, lengths: NDArray[np.int64], part: int, parts: int
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """(element, set by its place in `order`) of every prefix, as far as it belongs to the part; places rise."""
    import numpy as np

    sizes = np.diff(sets.offsets)
    found, places = [], []
    for start, end in _cut(sizes[order]):
        chosen = order[start:end]
        owner, elements = _gather(sets, chosen)
        inside = _first(owner, _frequency(elements, common), sizes[chosen], lengths[chosen])
        if parts > 1:
            inside = inside[elements[inside] % np.uint64(parts) == part]
        found.append(elements[inside])
        places.append((owner[inside] + start).astype(np.int32))
    return np.concatenate(found), np.concatenate(places)


def _first(
    owner: NDArray[np.int64], rank: NDArray[np.int64], sizes: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Indices of each set's first elements by (rank, value). Only sets that need more than the ones of rank 0, which
    stand in order already, are sorted."""
    import numpy as np

    rare = rank == 0
    seen = np.concatenate([[0], np.cumsum(rare)])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    enough = seen[starts[1:]] - seen[starts[:-1]] >= lengths
    chosen = rare & (seen[:-1] < np.repeat(np.where(enough, seen[starts[:-1]] + lengths, 0), sizes))
    rest = np.flatnonzero(np.repeat(~enough, sizes))
    rest = rest[np.argsort((owner[rest] << 32) | rank[rest], kind="stable")]
    firsts = np.concatenate([[0], np.cumsum(np.where(enough, 0, sizes))])[:-1]
    rest = rest[np.arange(len(rest)) - firsts[owner[rest]] < lengths[owner[rest]]]
    return np.sort(np.concatenate([np.flatnonzero(chosen), rest]))


def _common(sets: Hashes) -> Hashes:
    """Elements that many sets have, sorted, each with how many of a sample do."""
    import numpy as np

    count = len(sets.offsets) - 1
    values, sample = sets.values, min(count, SAMPLE)
    if count > SAMPLE:
        chosen = np.unique(np.linspace(0, count - 1, SAMPLE).astype(np.int64))
        values, sample = _elements(sets, chosen), len(chosen)
    values = np.sort(values)
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    often = np.diff(np.concatenate([first, [len(values)]]))
    many = np.flatnonzero(often > max(2, COMMON * sample))
    return Hashes(values[first[many]], often[many])


def _frequency(elements: NDArray[np.uint64], common: Hashes) -> NDArray[np.int64]:
    """How many sets of the sample have each element; 0 for those that are not common."""
    import numpy as np

    made: NDArray[np.int64] = np.zeros(len(elements), np.int64)
    table: NDArray[np.int32] = np.full(1 << SLOT_BITS, -1, np.int32)
    table[_slots(common.values)] = np.arange(len(common.values), dtype=np.int32)
    at = table.take(_slots(elements))
    some = np.flatnonzero(at >= 0)
    at, sought = at[some], elements[some]
    others = np.flatnonzero(common.values[at] != sought)
    at[others] = np.minimum(np.searchsorted(common.values, sought[others]), len(common.values) - 1)
    made[some] = np.where(common.values[at] == sought, common.offsets[at], 0)
    return made


def _slots(elements: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where a common element is looked for first; of those with one slot, the last is there."""
    import numpy as np

    return (elements & np.uint64((1 << SLOT_BITS) - 1)).astype(np.int64)


def _gather(sets: Hashes, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """(index into `chosen`, element) of every element of the chosen sets."""
    import numpy as np

    size = sets.offsets[chosen + 1] - sets.offsets[chosen]
    return np.repeat(np.arange(len(chosen)), size), _elements(sets, chosen)


def _elements(sets: Hashes, chosen: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Every element of the chosen sets, set by set."""
    import numpy as np

    start, size = sets.offsets[chosen], sets.offsets[chosen + 1] - sets.offsets[chosen]
    ends = np.cumsum(size)
    places: NDArray[np.int64] = np.repeat(start - (ends - size), size)
    places += np.arange(len(places))
    return sets.values.take(places)


def _cut(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of at most CHUNK elements, or one, and of fewer than fit above HASH_BITS."""
    import numpy as np

    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        end = int(np.searchsorted(ends, before + CHUNK, "right"))
        end = min(max(end, start + 1), start + (1 << (64 - HASH_BITS)) - 1)
        yield start, end
        start = end
