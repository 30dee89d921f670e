"""Which sets are similar, of those that share a band.

Most bands are shared by few sets, which are all compared. A band that many share says little: what stands in all of
them may be a template or a licence. Those sets are compared by their rare elements instead (crowds.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ftspec.builtin.near import crowds
from ftspec.builtin.near.groups import Groups
from ftspec.builtin.near.sets import Sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW = 32
"""Sets that share a band and are each compared with all others."""


def join(sets: Sets, bands: NDArray[np.uint32], threshold: float, groups: Groups) -> None:
    """Join in `groups` the sets that share a band and have a Jaccard similarity of at least `threshold`.

    Args:
        sets: none is empty.
        bands: (sets, number of bands); sets with an equal number in a column share that band.
    """
    import numpy as np

    crowded: NDArray[np.bool_] = np.zeros(len(bands), np.bool_)
    for index, band in enumerate(bands.T):
        shared = sharing(band)
        crowded[shared.places[shared.sizes > FEW]] = True
        for one, other in of_few(shared):
            before = (bands[one, :index] == bands[other, :index]).any(axis=1)
            fresh = crowded[one] | ~before  # the others were compared when they shared that band
            groups.join_similar(sets, one[fresh], other[fresh], threshold)
    crowds.join(sets, np.flatnonzero(crowded), threshold, groups)


def of_few(shared: Sharing) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of places with an equal key that few share, the earlier place first."""
    import numpy as np

    few = shared.sizes <= FEW
    places, before = shared.places[few], shared.before[few]
    for back in range(1, FEW):
        later = np.flatnonzero(before >= back)
        if len(later) == 0:
            return
        yield places[later - back], places[later]


class Sharing(NamedTuple):
    """Places of keys that are there more than once: equal ones together, rising; how many equal ones stand `before`
    each, and how many there are."""

    places: NDArray[np.int64]
    before: NDArray[np.int64]
    sizes: NDArray[np.int64]


def sharing(keys: NDArray[np.uint32]) -> Sharing:
    import numpy as np

    pairs = keys.astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= np.arange(len(keys), dtype=np.uint64)
    pairs.sort()
    again: NDArray[np.bool_] = np.zeros(len(pairs), np.bool_)
    np.less(pairs[1:] ^ pairs[:-1], np.uint64(1 << 32), out=again[1:])
    several = again.copy()
    several[np.flatnonzero(again) - 1] = True
    found = np.flatnonzero(several)
    places = (pairs[found] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    starts = np.flatnonzero(~again[found])
    sizes = np.diff(np.concatenate([starts, [len(places)]]))
    return Sharing(places, np.arange(len(places)) - np.repeat(starts, sizes), np.repeat(sizes, sizes))
