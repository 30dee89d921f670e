"""Loops that `objects` has compiled to machine code by Numba: what `words` and `minhash` do, byte by byte.

They see pointers, so they write where they are told to: callers give them enough room. `objects` fills in `np`, and
the compiled HELPERS for the plain ones. Hashes meet np.uint64 alone: else Numba makes floats of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.builtin.near.characters import APART, CASED, WORD
from ftspec.builtin.near.hashes import LONGEST, MULTIPLIER, RADIX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "words": "number uint8 int64 number uint8 uint32 uint8 uint8 uint64 int64 int64",
    "shingles": "nothing uint64 int64 number number uint64 int64",
    "minima": "nothing uint64 int64 number uint32 number uint32 uint32",
}
"""What each gives back, then what it takes: numbers (of 64 bits), and where such as are named begin."""
HELPERS = ("mix", "eight", "word", "character", "encoded")

LANES = 32
"""Numbers that a loop over a group is made for: a group is filled up to a multiple of them."""


BEHIND = 8
"""Bytes that are read behind the last text: eight at once."""
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


def character(
    low: NDArray[np.uint8], lower: NDArray[np.uint32], kinds: NDArray[np.uint8], at: int, end: int
) -> tuple[int, int, int]:  # fmt: skip
    """(its bytes, its code point in lower case, its kind) of the character that begins there."""
    byte: Any = np.int64(low[at])
    if byte < 0xC0:
        return 1, byte, WORD if byte else APART
    width = min(2 + (byte >= 0xE0) + (byte >= 0xF0), end - at)
    code = byte & (0xFF >> (width + 1))
    for place in range(at + 1, at + width):
        code = (code << 6) | (np.int64(low[place]) & 0x3F)
    code = min(code, 0x10FFFF)
    if code < CASED:
        code = np.int64(lower[code])
    return width, code, kinds[code]


def encoded(code: Any) -> tuple[int, np.uint64]:
    """(how many bytes, the bytes as a number) of a code point's UTF-8."""
    last = 0x80 | (code & 0x3F)
    third = 0x80 | ((code >> 6) & 0x3F)
    if code < 0x80:
        return 1, np.uint64(code)
    if code < 0x800:
        return 2, np.uint64(0xC0 | (code >> 6) | (last << 8))
    if code < 0x10000:
        return 3, np.uint64(0xE0 | (code >> 12) | (third << 8) | (last << 16))
    return 4, np.uint64(0xF0 | (code >> 18) | ((0x80 | ((code >> 12) & 0x3F)) << 8) | (third << 16) | (last << 24))


def words(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int,
    small: NDArray[np.uint8], lower: NDArray[np.uint32], kinds: NDArray[np.uint8],
    low: NDArray[np.uint8], hashes: NDArray[np.uint64], offsets: NDArray[np.int64], long: NDArray[np.int64],
) -> int:  # fmt: skip
    """`words.blocks`: hashes of the words of each text, and where each text's begin; gives the number of long words.

    small, lower, kinds: the tables of `characters`.
    low: room for the texts and BEHIND bytes more.
    long: of each word with more than LONGEST bytes its number, and where it begins and ends. The caller hashes those.
    """
    count, longs = 0, 0
    for place in range(bounds[texts]):
        low[place] = small[data[place]]
    for place in range(bounds[texts], bounds[texts] + BEHIND):
        low[place] = 0
    for text in range(texts):
        offsets[text] = count
        at, end = bounds[text], bounds[text + 1]
        while True:
            while at < end and low[at] == 0:
                at += 1
            if at >= end:
                break
            start = at
            length, value = word(low, at, end)
            at += length
            if length == 0:
                rest = value = np.uint64(0)
                while at < end:
                    width, code, kind = character(low, lower, kinds, at, end)
                    if kind != WORD:
                        break
                    more, found = encoded(code)
                    rest |= found << np.uint64(8 * (length & 7))
                    if (length & 7) + more >= 8:
                        value = mix(rest + value * np.uint64(RADIX))
                        rest = found >> np.uint64(8 * (8 - (length & 7)))
                    length += more
                    at += width
                if length & 7:
                    value = mix(rest + value * np.uint64(RADIX))
                if length == 0:
                    at += width
                    if kind == APART:
                        continue
                    value = mix(encoded(code)[1])
            hashes[count] = value
            if length > LONGEST:
                long[3 * longs], long[3 * longs + 1], long[3 * longs + 2] = count, start, at
                longs += 1
            count += 1
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
