"""Which of many sets are similar, where most have something in common: pairs are found by rare elements.

The prefix filter (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): order all elements, rare ones
first. Two sets can only have a Jaccard similarity of t when they share one of the first n - ceil(t n) + 1 elements of
each, where n is how many that set has. What all of them have in common, a template or a licence, stands last in that
order, so sets are not compared because of it. Where even the rare elements are common to many, those sets are nearly
equal: each is compared with the smallest one and with its neighbours in size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ftspec.builtin.near.groups import Groups, sizes_allow
from ftspec.builtin.near.sets import Sets, cut
from ftspec.compiled.hashes import distinct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE = 10_000
"""Sets by which it is told which elements are common; any order makes the filter exact, a good one makes it fast."""
COMMON = 0.001
NEIGHBOURS = 32
"""An element that more sets have in their prefixes than this: each is compared with so many, next in size."""
PART = 1 << 22
"""Elements of prefixes that are held at once."""
PAIRS = 1 << 16
"""Pairs whose bitmaps are compared at once."""
FLAGS = 512
FLAGGED = 1024
"""Sets whose bitmaps are made at once, of a byte per bit first."""
SLOT_BITS = 18


class Common(NamedTuple):
    """Elements that many sets have, sorted, each with how many of a sample do."""

    values: NDArray[np.uint32]
    often: NDArray[np.int64]


def join(sets: Sets, chosen: NDArray[np.int64], threshold: float, groups: Groups) -> None:
    """Join in `groups` those of the chosen sets that have a Jaccard similarity of at least `threshold`."""
    import numpy as np

    if len(chosen) < 2:
        return
    order = chosen[np.argsort(sets.sizes_of(chosen), kind="stable")]
    pairs = Pairs(sets, order, threshold, groups)
    found = common(sets, sampled(chosen))
    lengths = prefix_lengths(pairs.sizes, threshold)
    parts = max(1, -(-int(lengths.sum()) // PART))
    for part in range(parts):
        for one, other in sharing(*prefixes(sets, order, found, lengths, part, parts)):
            pairs.join(one, other)


class Pairs:
    """Joins pairs of sets that are similar, given by their places in `order`, in which sizes rise: the smaller first.
    Bitmaps rule out most others."""

    def __init__(self, sets: Sets, order: NDArray[np.int64], threshold: float, groups: Groups) -> None:
        self.sets, self.order, self.threshold, self.groups = sets, order, threshold, groups
        self.sizes, self.bits = sets.sizes_of(order), _bitmaps(sets, order)

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        order, of = self.order, self.groups.of
        open_ = of[order[one]] != of[order[other]]
        pairs = distinct((one[open_] << 32) | other[open_])
        one, other = pairs >> 32, pairs & 0xFFFFFFFF
        possible = sizes_allow(self.sizes[one], self.sizes[other], self.threshold)
        one, other = one[possible], other[possible]
        possible = _bits_allow(self.sizes, self.bits, one, other, self.threshold)
        self.groups.join_similar(self.sets, order[one[possible]], order[other[possible]], self.threshold)


def prefix_lengths(sizes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    import numpy as np

    return sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1


def _bits_allow(
    sizes: NDArray[np.int64], bits: NDArray[np.uint64], one: NDArray[np.int64], other: NDArray[np.int64],
    threshold: float,
) -> NDArray[np.bool_]:  # fmt: skip
    """Whether bitmaps leave it open that sets one[i] and other[i] are similar."""
    import numpy as np

    made: NDArray[np.bool_] = np.zeros(len(one), np.bool_)
    for start in range(0, len(one), PAIRS):
        first, second = one[start : start + PAIRS], other[start : start + PAIRS]
        total = sizes[first] + sizes[second]
        differ = np.bitwise_count(bits[first] ^ bits[second]).sum(axis=1, dtype=np.int64)
        most = (total - differ) // 2
        made[start : start + PAIRS] = most >= threshold * (total - most) - 1e-9
    return made


def _bitmaps(sets: Sets, order: NDArray[np.int64]) -> NDArray[np.uint64]:
    """FLAGS per set of the order, of which its elements set some: where two bitmaps differ, so many elements differ at
    least (the bitmap filter: Sandes, Teodoro and Melo 2020)."""
    import numpy as np

    made: NDArray[np.uint64] = np.zeros((len(order), FLAGS // 64), np.uint64)
    for first in range(0, len(order), FLAGGED):
        chosen = order[first : first + FLAGGED]
        sizes = sets.sizes_of(chosen)
        places = (sets.elements(chosen) & np.uint32(FLAGS - 1)).astype(np.int64)
        places += np.repeat(np.arange(len(chosen)) * FLAGS, sizes)
        flags: NDArray[np.bool_] = np.zeros(len(chosen) * FLAGS, np.bool_)
        flags[places] = True
        made[first : first + FLAGGED] = np.packbits(flags).view(np.uint64).reshape(-1, FLAGS // 64)
    return made


def sharing(
    elements: NDArray[np.uint32], places: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of places with an equal element, the smaller one first: with the smallest that has it, then neighbours."""
    import numpy as np

    keys = elements.astype(np.uint64) << np.uint64(32)
    keys |= places.astype(np.uint64)
    del elements, places
    keys.sort()
    again = np.concatenate([[False], keys[1:] >> np.uint64(32) == keys[:-1] >> np.uint64(32)])
    ordered = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    del keys
    start = np.maximum.accumulate(np.where(again, 0, np.arange(len(ordered), dtype=np.int32)))
    followers = np.flatnonzero(again)
    yield ordered[start[followers]], ordered[followers]
    for back in range(1, NEIGHBOURS + 1):
        followers = followers[followers - start[followers] > back]
        if len(followers) == 0:
            return
        yield ordered[followers - back], ordered[followers]


def prefixes(
    sets: Sets, order: NDArray[np.int64], common: Common, lengths: NDArray[np.int64], part: int, parts: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """(element, place in `order` of the set) of every prefix, as far as it belongs to the part."""
    import numpy as np

    sizes = sets.sizes_of(order)
    found, places = [], []
    for start, end in cut(sizes):
        elements = sets.elements(order[start:end])
        owner: NDArray[np.int64] = np.repeat(np.arange(end - start), sizes[start:end])
        inside = _first(owner, _frequency(elements, common), sizes[start:end], lengths[start:end])
        if parts > 1:
            inside = inside[elements[inside] % np.uint32(parts) == part]
        found.append(elements[inside])
        places.append(owner[inside] + start)
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


def sampled(chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """SAMPLE of them, evenly, or all."""
    import numpy as np

    if len(chosen) <= SAMPLE:
        return chosen
    return chosen[np.unique(np.linspace(0, len(chosen) - 1, SAMPLE).astype(np.int64))]


def common(sets: Sets, chosen: NDArray[np.int64]) -> Common:
    import numpy as np

    values = np.sort(sets.elements(chosen))
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    often = np.diff(np.concatenate([first, [len(values)]]))
    many = np.flatnonzero(often > max(2, COMMON * len(chosen)))
    return Common(values[first[many]], often[many])


def _frequency(elements: NDArray[np.uint32], common: Common) -> NDArray[np.int64]:
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
    made[some] = np.where(common.values[at] == sought, common.often[at], 0)
    return made


def _slots(elements: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Where a common element is looked for first; of those with one slot, the last is there."""
    import numpy as np

    return (elements & np.uint32((1 << SLOT_BITS) - 1)).astype(np.int64)
