"""Compiled as `wordkernels` are: what `minhash` and `sets` do with shingles, number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.compiled.hashes import RADIX
from ftspec.compiled.wordkernels import mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "sketch": "nothing uint64 int64 number uint32 number uint32 uint32 uint64",
    "sets": "nothing uint64 int64 number int64 uint32 uint32 uint32 int64",
    "shared": "nothing uint32 int64 int64 int64 number int64",
    "banded": "nothing uint32 number number uint32",
}
HELPERS = ("mix", "few", "more")

EIGHT = 8
"""Values of a group that are looked at together: of each permutation's least one only what is less is written."""
FEW = 1024
"""Values of a group that are sorted in one go: even if all had been chosen to begin alike, that would take no time."""


def sketch(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    groups: int,
    factors: NDArray[np.uint32],
    permutations: int,
    narrow: NDArray[np.uint32],
    least: NDArray[np.uint32],
    totals: NDArray[np.uint64],
) -> None:
    """`minhash.sketch`; `least` has each group's permutations one behind the other, and `narrow` room for EIGHT values.
    So many are turned by each permutation in one go, the last one again where there are less."""
    for group in range(groups):
        first, end = offsets[group], offsets[group + 1]
        total = totals[group]
        for at in range(first, end):
            total += values[at]
        totals[group] = total
        for at in range(first, end, EIGHT):
            for index in range(EIGHT):
                narrow[index] = np.uint32(values[min(at + index, end - 1)] >> np.uint64(32))
            for index in range(permutations):
                place = group * permutations + index
                found = least[place]
                for other in range(EIGHT):
                    found = min(found, np.uint32(narrow[other] * factors[index]))
                least[place] = found


def few(values: NDArray[np.uint64], first: int, many: int, counts: NDArray[np.int64], one: NDArray[np.uint32]) -> None:
    """The upper halves of `many` values from the first one on, sorted: shared out by their highest byte, which hashes
    have evenly, and then each put before the greater ones, of which hardly any are left."""
    for byte in range(256):
        counts[byte] = 0
    for at in range(first, first + many):
        counts[values[at] >> np.uint64(56)] += 1
    for byte in range(1, 256):
        counts[byte] += counts[byte - 1]
    for at in range(first, first + many):
        byte = values[at] >> np.uint64(56)
        counts[byte] -= 1
        one[counts[byte]] = np.uint32(values[at] >> np.uint64(32))
    for at in range(1, many):
        value, place = one[at], at
        while place > 0 and one[place - 1] > value:
            one[place] = one[place - 1]
            place -= 1
        one[place] = value


def more(
    values: NDArray[np.uint64],
    first: int,
    many: int,
    counts: NDArray[np.int64],
    one: NDArray[np.uint32],
    other: NDArray[np.uint32],
) -> None:
    """The same by radix, the lowest byte first: no values, however they are chosen, take longer."""
    for at in range(1024):
        counts[at] = 0
    for at in range(many):
        value = np.int64(values[first + at] >> np.uint64(32))
        one[at] = np.uint32(value)
        for byte in range(4):
            counts[256 * byte + ((value >> (8 * byte)) & 0xFF)] += 1
    for byte in range(4):
        for at in range(256 * byte + 1, 256 * byte + 256):
            counts[at] += counts[at - 1]
        for at in range(many - 1, -1, -1):
            slot = 256 * byte + ((np.int64(one[at]) >> (8 * byte)) & 0xFF)
            counts[slot] -= 1
            other[counts[slot]] = one[at]
        one, other = other, one


def sets(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    groups: int,
    counts: NDArray[np.int64],
    one: NDArray[np.uint32],
    other: NDArray[np.uint32],
    made: NDArray[np.uint32],
    starts: NDArray[np.int64],
) -> None:
    """The upper halves of each group's values, sorted, each once; and where each group's begin. `counts` has room for
    1024 numbers, `one` and `other` for the largest group."""
    count = 0
    for group in range(groups):
        starts[group] = count
        first, many = offsets[group], offsets[group + 1] - offsets[group]
        if many <= FEW:
            few(values, first, many, counts, one)
        else:
            more(values, first, many, counts, one, other)
        for at in range(many):
            made[count] = one[at]
            count += 1 if at == 0 or one[at] != one[at - 1] else 0
    starts[groups] = count


def shared(
    values: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    pairs: int,
    made: NDArray[np.int64],
) -> None:
    """How many elements sets one[i] and other[i] have in common; sets are as in `sets.Sets`."""
    for pair in range(pairs):
        left, right = offsets[one[pair]], offsets[other[pair]]
        end, last = offsets[one[pair] + 1], offsets[other[pair] + 1]
        count: Any = np.int64(0)
        while left < end and right < last:
            first, second = values[left], values[right]
            count += np.int64(first == second)
            left += np.int64(first <= second)
            right += np.int64(second <= first)
        made[pair] = count


def banded(least: NDArray[np.uint32], bands: int, rows: int, made: NDArray[np.uint32]) -> None:
    """`minhash.band_keys` of so many bands of so many rows, which stand one behind the other."""
    for band in range(bands):
        value = np.uint64(0)
        for at in range(band * rows, band * rows + rows):
            value = value * np.uint64(RADIX) + np.uint64(least[at])
        made[band] = np.uint32(mix(value) >> np.uint64(32))
