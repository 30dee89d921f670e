"""MinHash (Broder 1997): rows whose sets of shingles are alike have equal keys in some band, most likely.

A signature holds the smallest value of the set under each of `bands * rows` permutations, so two signatures agree at
one place with a probability of J, the Jaccard similarity; a band is equal with J**rows, and some band with
1 - (1 - J**rows)**bands. Bands only find candidates: what is a near-duplicate is decided by the sets themselves.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ftspec.compiled import native
from ftspec.compiled.hashes import RADIX, Hashes, mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERMUTATIONS = 64
"""The most that a signature has: each costs time in every row."""
MISSED = 0.08
"""Of the pairs that are just as similar as the threshold, so many may be missed. Of more similar ones it is far fewer:
at a threshold of 0.7, 2 % at 0.75 and 0.1 % at 0.85."""
NONE = 0xFFFFFFFF


class Bands(NamedTuple):
    """How a signature is cut: `number` bands of `rows` places."""

    number: int
    rows: int

    @property
    def permutations(self) -> int:
        return self.number * self.rows

    def found(self, similarity: float) -> float:
        """The probability that two rows of this similarity share a band."""
        return float(1 - (1 - similarity**self.rows) ** self.number)


def bands(threshold: float) -> Bands:
    """The most selective bands with at most PERMUTATIONS that miss at most MISSED at the threshold."""
    for rows in range(PERMUTATIONS, 1, -1):
        chance = threshold**rows
        count = math.ceil(math.log(MISSED) / math.log1p(-chance)) if chance < 1 else 1
        if count * rows <= PERMUTATIONS:
            return Bands(count, rows)
    return Bands(math.ceil(math.log(MISSED) / math.log1p(-threshold)), 1)


class Sketches(NamedTuple):
    """What is known of sets of shingles in few bytes.

    least: signatures, (permutations, groups): NONE all over for an empty group.
    totals: a number per group that two groups share if, and in all likelihood only if, they hold the same shingles
        equally often.
    """

    least: NDArray[np.uint32]
    totals: NDArray[np.uint64]

    @classmethod
    def empty(cls, permutations: int, groups: int) -> Sketches:
        import numpy as np

        return cls(np.full((groups, permutations), NONE, np.uint32).T, np.zeros(groups, np.uint64))

    def add(self, start: int, shingles: Hashes) -> None:
        """Put shingles to those of the groups from `start` on.

        A permutation of 32-bit numbers is a multiplication by an odd number: shingles are hashes, well mixed, already.
        """
        end = start + len(shingles.offsets) - 1
        least, totals = self.least[:, start:end], self.totals[start:end]
        factors = _factors(len(least))
        compiled = native.loaded()
        if compiled:
            compiled.sketch(shingles, factors, least, totals)
        else:
            _sketch(shingles, factors, least, totals)


def _sketch(
    shingles: Hashes, factors: NDArray[np.uint32], least: NDArray[np.uint32], totals: NDArray[np.uint64]
) -> None:
    import numpy as np

    values, offsets = shingles
    some = np.flatnonzero(offsets[1:] > offsets[:-1])
    if len(some) == 0:
        return
    starts = offsets[some]
    totals[some] += np.add.reduceat(values, starts)
    narrow = (values >> np.uint64(32)).astype(np.uint32)
    turned = np.empty_like(narrow)
    for factor, found in zip(factors, least, strict=True):
        np.multiply(narrow, factor, out=turned)
        found[some] = np.minimum(found[some], np.minimum.reduceat(turned, starts))


def band_keys(signatures: NDArray[np.uint32], cut: Bands) -> NDArray[np.uint32]:
    """(groups, bands): each band's minima as one number of 32 bits."""
    import numpy as np

    least = np.ascontiguousarray(signatures[: cut.permutations].T)
    compiled = native.loaded()
    if compiled:
        return compiled.banded(least, cut.rows)
    banded = least.reshape(-1, cut.rows)
    together: NDArray[np.uint64] = np.zeros(len(banded), np.uint64)
    for row in range(cut.rows):
        together *= np.uint64(RADIX)
        together += banded[:, row]
    return (mix(together) >> np.uint64(32)).astype(np.uint32).reshape(-1, cut.number)


@cache
def _factors(count: int) -> NDArray[np.uint32]:
    """Odd numbers, the same ones on every machine."""
    import numpy as np

    hashes = mix(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(RADIX))
    return (hashes >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
