"""Loops that `objects` has compiled to machine code by Numba: what `words` and `minhash` do, byte by byte.

They see pointers, so they write where they are told to: callers give them enough room. `objects` fills in `np`, and
the compiled HELPERS for the plain ones. Hashes meet np.uint64 alone: else Numba makes floats of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.builtin.near.characters import APART, WORD
from ftspec.builtin.near.hashes import LONGEST, MULTIPLIER, RADIX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "words": "number uint8 int64 number uint8 uint64 int64 int64",
    "shingles": "nothing uint64 int64 number number uint64 int64",
    "minima": "nothing uint64 int64 number uint32 number uint32 uint32",
}
"""What each gives back, then what it takes: numbers (of 64 bits), and where such as are named begin."""
HELPERS = ("mix", "eight", "word", "character")

LANES = 32
"""Numbers that a loop over a group is made for: a group is filled up to a multiple of them."""


ONES, HIGHS = 0x0101010101010101, 0x8080808080808080


def mix(value: np.uint64) -> np.uint64:
    """As `hashes.mix`."""
    value ^= value >> np.uint64(32)
    value *= np.uint64(MULTIPLIER)
    value ^= value >> np.uint64(32)
    value *= np.uint64(MULTIPLIER)
    return value ^ (value >> np.uint64(32))


def eight(low: NDArray[np.uint8], at: int, end: int) -> np.uint64:
    """The bytes from `at` on as a number, zeros from `end` on; memory is read in one go."""
    value = np.uint64(low[at])
    for place in range(1, 8):
        value |= np.uint64(low[at + place]) << np.uint64(8 * place)
    return value if at + 8 <= end else value & ((np.uint64(1) << np.uint64(8 * (end - at))) - np.uint64(1))


def word(low: NDArray[np.uint8], at: int, end: int) -> tuple[int, np.uint64]:
    """(its bytes, hash) of the word that begins there, as far as that is ASCII; 0 bytes where a character that is not
    follows at once, or is a part of it. The first zero byte is found by arithmetic on eight (Mycroft 1987)."""
    start, value = at, np.uint64(0)
    while True:
        found = eight(low, at, end)
        zeros = (found - np.uint64(ONES)) & ~found & np.uint64(HIGHS)
        mask = ((zeros & -zeros) - np.uint64(1)) >> np.uint64(7 if zeros else 0)
        found &= mask
        if found & np.uint64(HIGHS):
            return 0, value
        if zeros:
            more: Any = np.int64(((mask & np.uint64(ONES)) * np.uint64(ONES)) >> np.uint64(56))
            return at + more - start, mix(found + value * np.uint64(RADIX)) if more else value
        value = mix(found + value * np.uint64(RADIX))
        at += 8


def character(low: NDArray[np.uint8], kinds: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """(its bytes, its kind) of the character that begins there."""
    byte: Any = np.int64(low[at])
    if byte < 0xC0:
        return 1, WORD if byte else APART
    width = min(2 + (byte >= 0xE0) + (byte >= 0xF0), end - at)
    code = byte & (0xFF >> (width + 1))
    for place in range(at + 1, at + width):
        code = (code << 6) | (np.int64(low[place]) & 0x3F)
    return width, kinds[min(code, 0x10FFFF)]


def words(
    low: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int, kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64], offsets: NDArray[np.int64], long: NDArray[np.int64],
) -> int:  # fmt: skip
    """`words._words`: hashes of the words of each text, and where each text's begin; gives the number of long words.

    low: zero where there is a separator; eight bytes follow.
    long: of each word with more than LONGEST bytes its number, where it begins, and how many it has. Those are the
        caller's to hash.
    """
    count, longs = 0, 0
    for text in range(texts):
        offsets[text] = count
        at, end = bounds[text], bounds[text + 1]
        while True:
            while at < end and low[at] == 0:
                at += 1
            if at >= end:
                break
            length, value = word(low, at, end)
            if length == 0:
                width, kind = character(low, kinds, at, end)
                value = rest = np.uint64(0)
                while kind == WORD:
                    for place in range(at + length, at + length + width):
                        rest |= np.uint64(low[place]) << np.uint64(8 * (length & 7))
                        length += 1
                        if length & 7 == 0:
                            value, rest = mix(rest + value * np.uint64(RADIX)), np.uint64(0)
                    if at + length >= end:
                        break
                    width, kind = character(low, kinds, at + length, end)
                if length == 0 and kind == APART:
                    at += width
                    continue
                if length == 0:
                    value, length = mix(eight(low, at, at + width)), width
                elif length & 7:
                    value = mix(rest + value * np.uint64(RADIX))
            hashes[count] = value
            if length > LONGEST:
                long[3 * longs], long[3 * longs + 1], long[3 * longs + 2] = count, at, length
                longs += 1
            count += 1
            at += length
    offsets[texts] = count
    return longs


def shingles(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    groups: int,
    size: int,
    made: NDArray[np.uint64],
    starts: NDArray[np.int64],
) -> None:
    """`words.shingles`: of each group of words, and where each group's begin."""
    top = np.uint64(1)
    for _ in range(size):
        top *= np.uint64(RADIX)
    count = 0
    for group in range(groups):
        starts[group] = count
        first, end = offsets[group], offsets[group + 1]
        value = np.uint64(end - first if end - first < size else 0)
        for at in range(first, end):
            value = value * np.uint64(RADIX) + values[at]
            if at - first >= size:
                value -= values[at - size] * top
            if at - first >= size - 1 or (at == end - 1 and end - first < size):
                made[count] = mix(value)
                count += 1
    starts[groups] = count


def minima(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    groups: int,
    factors: NDArray[np.uint32],
    permutations: int,
    narrow: NDArray[np.uint32],
    made: NDArray[np.uint32],
) -> None:
    """`minhash.minima`; `narrow` has room for the largest group and LANES more."""
    for group in range(groups):
        count = offsets[group + 1] - offsets[group]
        for at in range(count):
            narrow[at] = np.uint32(values[offsets[group] + at] >> np.uint64(32))
        full = (count + LANES - 1) // LANES * LANES
        for at in range(count, full):
            narrow[at] = narrow[count - 1]
        for index in range(permutations):
            least = np.uint32(0xFFFFFFFF)
            for at in range(full):
                least = min(least, np.uint32(narrow[at] * factors[index]))
            made[index * groups + group] = least
