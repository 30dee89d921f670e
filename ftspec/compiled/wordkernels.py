"""Loops that `objects` has compiled to machine code by Numba: what `words` does, byte by byte.

They see pointers, so they write where they are told to: callers give them enough room. `objects` fills in `np`, and
the compiled HELPERS for the plain ones. Hashes meet np.uint64 alone: else Numba makes floats of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.compiled.characters import ALONE, APART, CASED, IDEOGRAPHS_END, MIXED, WORD
from ftspec.compiled.hashes import LONGEST, MULTIPLIER, RADIX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "words": "number uint8 int64 number uint8 uint64 int64 int64",
    "shingles": "nothing uint64 int64 number number number uint64 int64",
}
"""What each gives back, then what it takes: numbers (of 64 bits), and where such as are named begin."""
HELPERS = (
    "mix", "eight", "lowest", "small", "lower", "inside", "eights", "is_alone", "character", "encoded", "mixed",
    "word",
)  # fmt: skip


LOWERED: Any = None
KINDS: Any = None
PAGES: Any = None
"""The tables `characters.lowered`, `kinds_of_all` and `pages` of code points below CASED. `objects` fills them in, and
Numba puts them into the code: it does so with arrays of up to a million bytes."""

LANES = 64
"""Bytes that are lowered at once."""
BEHIND = 72
"""Bytes that are read behind a text: 64 at once, or eight."""
ALL, ONES, HIGHS, LOWS = 0xFFFFFFFFFFFFFFFF, 0x0101010101010101, 0x8080808080808080, 0x7F7F7F7F7F7F7F7F


def mix(value: np.uint64) -> np.uint64:
    """As `hashes.mix`."""
    value ^= value >> np.uint64(32)
    value *= np.uint64(MULTIPLIER)
    value ^= value >> np.uint64(32)
    value *= np.uint64(MULTIPLIER)
    return value ^ (value >> np.uint64(32))


def eight(low: NDArray[np.uint8], at: int) -> np.uint64:
    """Eight bytes as a number; memory is read in one go."""
    value = np.uint64(low[at])
    for place in range(1, 8):
        value |= np.uint64(low[at + place]) << np.uint64(8 * place)
    return value


def lowest(bits: np.uint64) -> Any:
    """How many zeros stand below the lowest one: those ones are counted, which LLVM knows as one instruction."""
    bits = ~bits & (bits - np.uint64(1))
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(ONES)) >> np.uint64(56))


def small(byte: np.uint8) -> np.uint8:
    """As `characters.small_letters` has it. It compares, and looks nothing up: so LLVM does many bytes at once."""
    letter = np.uint8(byte | np.uint8(0x20))
    capital = np.uint8(letter - np.uint8(0x61)) < np.uint8(26)
    other = (
        (np.uint8(byte - np.uint8(0x2F)) < np.uint8(11)) | (np.uint8(byte - np.uint8(0x23)) < np.uint8(4))
        | (np.uint8(byte - np.uint8(0x2A)) < np.uint8(2)) | (byte == np.uint8(0x2D))
        | (np.uint8(byte - np.uint8(0x3C)) < np.uint8(3)) | (byte == np.uint8(0x40))
        | (letter == np.uint8(0x7E)) | (byte == np.uint8(0x7C)) | (byte >= np.uint8(0x80))
    )  # fmt: skip
    return letter if capital & (byte < np.uint8(0x80)) else (byte if other else np.uint8(0))


def lower(data: NDArray[np.uint8], start: int, end: int, last: int, low: NDArray[np.uint8]) -> None:
    """`small` of the bytes from start to end, and zeros behind them. It takes LANES at a time, also of bytes behind the
    end, as long as there are any before `last`."""
    length = end - start
    full = min((length + LANES - 1) // LANES, (last - start) // LANES) * LANES
    for first in range(0, full, LANES):
        for at in range(LANES):
            low[first + at] = small(data[start + first + at])
    for at in range(full, length):
        low[at] = small(data[start + at])
    for at in range(length, length + BEHIND):
        low[at] = np.uint8(0)


def inside(low: NDArray[np.uint8], at: int) -> np.uint64:
    """A bit for each of 64 bytes, the lowest for the first: whether it is not zero."""
    bits = np.uint64(0)
    for index in range(8):
        found = eight(low, at + 8 * index)
        found = (((found & np.uint64(LOWS)) + np.uint64(LOWS)) | found) & np.uint64(HIGHS)
        bits |= (((found >> np.uint64(7)) * np.uint64(0x0102040810204080)) >> np.uint64(56)) << np.uint64(8 * index)
    return bits


def eights(low: NDArray[np.uint8], at: int, length: int) -> np.uint64:
    """Up to eight bytes as a number, one at least."""
    return eight(low, at) & (np.uint64(ALL) >> np.uint64(64 - 8 * min(length, 8)))


def character(low: NDArray[np.uint8], at: int) -> tuple[int, int, np.uint64, int]:
    """(its bytes, how many and which as a number in lower case, its kind) of the character that begins there."""
    found = eight(low, at)
    byte = found & np.uint64(0xFF)
    if byte < np.uint64(0xC0):
        return 1, 1, byte, WORD
    second, third = (found >> np.uint64(8)) & np.uint64(0x3F), (found >> np.uint64(16)) & np.uint64(0x3F)
    if byte < np.uint64(0xE0):
        width, page, rest = 2, byte & np.uint64(0x1F), second
    elif byte < np.uint64(0xF0):
        width, page, rest = 3, ((byte & np.uint64(0x0F)) << np.uint64(6)) | second, third
    else:
        page = ((byte & np.uint64(0x07)) << np.uint64(12)) | (second << np.uint64(6)) | third
        width, rest = 4, (found >> np.uint64(24)) & np.uint64(0x3F)
    if page >= np.uint64(CASED >> 6):
        kind: Any = ALONE if page < np.uint64(IDEOGRAPHS_END >> 6) else WORD
    else:
        kind = PAGES[page]
    if kind != MIXED:
        return width, width, found & (np.uint64(ALL) >> np.uint64(64 - 8 * width)), kind
    code = np.int64(LOWERED[(page << np.uint64(6)) | rest])
    more, small = encoded(code)
    return width, more, small, KINDS[code]


def is_alone(eight: np.uint64) -> bool:
    """Whether the first three of these bytes are a character that is a word by itself, as Chinese and Japanese ones."""
    page = ((eight & np.uint64(0x0F)) << np.uint64(6)) | ((eight >> np.uint64(8)) & np.uint64(0x3F))
    return bool((eight & np.uint64(0xF0) == np.uint64(0xE0)) & (PAGES[page] == ALONE))


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


def mixed(low: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, np.uint64]:
    """`word`, one character at a time."""
    length, rest, value = 0, np.uint64(0), np.uint64(0)
    while at < end:
        width, more, found, kind = character(low, at)
        if kind != WORD:
            if length == 0:
                return at + width, 0 if kind == APART else more, mix(found)
            break
        rest |= found << np.uint64(8 * (length & 7))
        if (length & 7) + more >= 8:
            value = mix(rest + value * np.uint64(RADIX))
            rest = found >> np.uint64(8 * (8 - (length & 7)))
        length += more
        at += width
    if length & 7:
        value = mix(rest + value * np.uint64(RADIX))
    return at, length, value


def word(low: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, np.uint64]:
    """Of the word that begins there: where it ends, its bytes in lower case (none where it is but a character that
    separates words) and its hash. As long as all is ASCII, it is what stands there up to `end`."""
    place, value = at, np.uint64(0)
    while place < end:
        found = eights(low, place, end - place)
        if found & np.uint64(HIGHS):
            return mixed(low, at, end)
        value = mix(found + value * np.uint64(RADIX))
        place += 8
    return end, end - at, value


def words(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int, low: NDArray[np.uint8],
    hashes: NDArray[np.uint64], offsets: NDArray[np.int64], long: NDArray[np.int64],
) -> int:  # fmt: skip
    """`words.blocks`: hashes of the words of each text, and where each text's begin; gives the number of long words.

    Runs of bytes that are not zero are told by the bits of 64 bytes at once, as simdjson finds what JSON is made of
    (Langdale and Lemire 2019).

    low: room for the longest text, and BEHIND more.
    long: of each word with more than LONGEST bytes its number, and where it begins and ends. The caller hashes those.
    """
    count, longs = 0, 0
    for text in range(texts):
        offsets[text] = count
        start = bounds[text]
        lower(data, start, bounds[text + 1], bounds[texts], low)
        at, before = 0, np.uint64(0)
        for block in range(0, bounds[text + 1] - start + 1, 64):
            bits = inside(low, block)
            shifted = (bits << np.uint64(1)) | before
            begins, ends = bits & ~shifted, shifted & ~bits
            if not before:
                at = block + lowest(begins)
                begins &= begins - np.uint64(1)
            before = bits >> np.uint64(63)
            while ends:
                end = block + lowest(ends)
                ends &= ends - np.uint64(1)
                if end - at <= 8:  # what `word` does, for most words
                    value = eights(low, at, end - at)
                    if not value & np.uint64(HIGHS):
                        hashes[count] = mix(value)
                        count += 1
                        at = end
                while at < end:
                    value = eight(low, at)
                    if is_alone(value):
                        hashes[count] = mix(value & np.uint64(0xFFFFFF))
                        at, count = at + 3, count + 1
                        continue
                    place = at
                    at, length, value = word(low, at, end)
                    if length == 0:
                        continue
                    hashes[count] = value
                    if length > LONGEST:
                        long[3 * longs], long[3 * longs + 1], long[3 * longs + 2] = count, start + place, start + at
                        longs += 1
                    count += 1
                at = block + lowest(begins)
                begins &= begins - np.uint64(1)
    offsets[texts] = count
    return longs


def shingles(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    groups: int,
    size: int,
    salt: int,
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
        for at in range(first, min(first + size, end)):
            value = value * np.uint64(RADIX) + values[at]
        if end > first:
            made[count] = mix(value) ^ np.uint64(salt)
            count += 1
        for at in range(first + size, end):
            value = value * np.uint64(RADIX) + (values[at] - values[at - size] * top)
            made[count] = mix(value) ^ np.uint64(salt)
            count += 1
    starts[groups] = count
