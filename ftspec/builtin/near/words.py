"""Texts as words, and words as shingles, both as 64-bit hashes: what "nearly the same" is told by.

A word is a run of letters, marks, digits and symbols, without regard to case; punctuation and white space only
separate. In scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese and a few more) each
character is a word, and so is each emoji. A shingle is `size` words in a row; a text of fewer is one as a whole.

Texts are worked on in blocks that stay in a core's cache, as bytes: no Python object is made per text or word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 17
BLOCK_ROWS = 1 << 14
"""Text worked on at once: with what is made of it, about as much as a core's own cache holds."""
LONGEST = 64
"""Bytes of a word that are hashed by vector instructions. Longer ones are few: hashlib takes them one by one."""

MULTIPLIER = 0xD6E8FEB86659FD93
"""Of the mixing function (rrmxmx's relative by Pelle Evensen and Degski): odd, and tried by avalanche tests."""
RADIX = 0x9E3779B97F4A7C15
"""A shingle is a number in this base, whose digits are the words. 2**64 over the golden ratio, odd."""

WORD, APART, ALONE = 0, 1, 2
"""What a character does: belongs to a word, separates words, or is a word by itself."""

UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0x2E80, 0x2FDF),
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x303C), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Blocks of scripts without spaces: Thai and Lao, Burmese, Khmer, Tai, Han with its radicals, Kana, Han beyond."""


class Texts(NamedTuple):
    """Texts of rows: row i has `values[offsets[i]:offsets[i + 1]]`, strings without nulls."""

    values: pa.Array
    offsets: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1


class Hashes(NamedTuple):
    """64-bit hashes in groups: group i has `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def blocks(texts: Texts) -> Iterator[tuple[int, int, Hashes]]:
    """(first row, end, its words grouped by text) for runs of rows with about BLOCK_BYTES of text."""
    import numpy as np

    if texts.rows == 0:
        return
    data, ends = _bytes(texts.values)
    starts = ends[texts.offsets]
    row = 0
    while row < texts.rows:
        end = int(np.searchsorted(starts, starts[row] + BLOCK_BYTES, "right")) - 1
        end = min(max(end, row + 1), row + BLOCK_ROWS, texts.rows)
        bounds = ends[texts.offsets[row] : texts.offsets[end] + 1]
        yield row, end, _words(data[bounds[0] : bounds[-1]], bounds - bounds[0])
        row = end


def shingles(words: Hashes, size: int) -> Hashes:
    """The shingles of each group of words, in the order of the text, repeated ones too."""
    import numpy as np

    values, offsets = words
    if len(values) == 0:
        return words
    counts = np.diff(offsets)
    made: NDArray[np.uint64] = np.empty(len(values), np.uint64)
    if len(values) >= size:
        made[: len(values) - size + 1] = _windows(values, size)
    kept: NDArray[np.bool_] = np.ones(len(values), np.bool_)
    ends = offsets[1:][counts >= size]
    for back in range(1, size):
        kept[ends - back] = False
    for count in range(1, size):
        first = offsets[:-1][counts == count]
        if len(first):
            made[first] = _short(values, first, count)
            kept[(first[:, None] + np.arange(1, count)).ravel()] = False
    many = np.where(counts >= size, counts - size + 1, np.minimum(counts, 1))
    return Hashes(mix(made[kept]), np.concatenate([[0], np.cumsum(many)]))


def regrouped(words: Hashes, offsets: NDArray[np.int64]) -> Hashes:
    """The same hashes in larger groups: of the old ones, group i takes offsets[i] to offsets[i + 1]."""
    return Hashes(words.values, words.offsets[offsets - offsets[0]])


def mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the result depends on every bit of the hash; in place."""
    import numpy as np

    turned = np.empty_like(hashes)
    for _ in range(2):
        np.right_shift(hashes, np.uint64(32), out=turned)
        hashes ^= turned
        hashes *= np.uint64(MULTIPLIER)
    np.right_shift(hashes, np.uint64(32), out=turned)
    hashes ^= turned
    return hashes


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The values sorted, each once: np.unique's hash table takes ten times as long for numbers that are mostly so."""
    import numpy as np

    values = np.sort(values)
    new: NDArray[np.bool_] = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def salt(name: str) -> int:
    """64 bits of a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _bytes(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The texts' UTF-8, lower case where it is more than ASCII (that is lowered later), and where each text ends."""
    import numpy as np
    import pyarrow.compute as pc

    more = pc.invert(pc.string_is_ascii(values))
    if pc.any(more).as_py():
        values = pc.replace_with_mask(values, more, pc.utf8_lower(values.filter(more)))
    ends = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2]
    return np.frombuffer(data if data is not None else b"", np.uint8), ends.astype(np.int64)


def _words(data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Hashes:
    """Hashes of the words of texts that stand one behind the other; no word spans two texts."""
    import numpy as np

    low = np.frombuffer(data.tobytes().translate(_lower()) + bytes(LONGEST + 16), np.uint8)
    inside = low[: len(data)] != 0
    leads, alone = _beyond_ascii(low, inside)
    starts, ends = inside.copy(), inside.copy()
    starts[1:] &= ~inside[:-1]
    ends[:-1] &= ~inside[1:]
    cuts = bounds[1:-1]
    cuts = cuts[(cuts > 0) & (cuts < len(data))]
    starts[cuts] |= inside[cuts]
    ends[cuts - 1] |= inside[cuts - 1]
    starts[leads] = True
    ends[alone] = True
    first = np.flatnonzero(starts)
    lengths = np.flatnonzero(ends)
    lengths -= first - 1
    return Hashes(_hashed(low, first, lengths), np.searchsorted(first, bounds))


@cache
def _lower() -> bytes:
    """By byte: small letters for capitals, zero for what separates words, the others (digits, bytes beyond ASCII, the
    symbols # $ % & * + - / < = > @ ^ | ~) as they are."""
    kept = [chr(code) for code in range(0x80) if chr(code).isalnum() or chr(code) in "#$%&*+-/<=>@^|~"]
    small = bytes(ord(chr(code).lower()) if chr(code) in kept else 0 for code in range(0x80))
    return small + bytes(range(0x80, 0x100))


def _beyond_ascii(low: NDArray[np.uint8], inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take out of `inside` the characters beyond ASCII that are no part of a word; where those begin and end that are
    words by themselves."""
    import numpy as np

    found = np.flatnonzero(low[: len(inside)] >= 0xC0)
    if len(found) == 0:
        return found, found
    lead = low[found].astype(np.int32)
    width = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    code = lead & np.array([0, 0, 0x1F, 0x0F, 0x07], np.int32)[width]
    for at in (1, 2, 3):
        following = low[found + at].astype(np.int32) & 0x3F
        code = np.where(width > at, (code << 6) | following, code)
    kind = _kinds()[code]
    for at in range(4):
        inside[found[(kind != WORD) & (width > at)] + at] = False
    alone = kind == ALONE
    return found[alone], found[alone] + width[alone] - 1


@cache
def _kinds() -> NDArray[np.uint8]:
    """WORD, APART or ALONE for every code point, by Unicode's categories. What has none yet will most likely be a
    letter: no newer Python is to change much."""
    import unicodedata

    import numpy as np

    def kind(code: int) -> int:
        category = unicodedata.category(chr(code))
        return ALONE if category == "So" else WORD if category[0] in "LMNS" or category == "Cn" else APART

    kinds: NDArray[np.uint8] = np.full(0x110000, WORD, np.uint8)
    kinds[:0x20000] = np.frombuffer(bytes(map(kind, range(0x20000))), np.uint8)
    for start, end in UNSPACED:
        block = kinds[start : end + 1]
        block[block == WORD] = ALONE
    return kinds


def _hashed(low: NDArray[np.uint8], first: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Each word's hash, eight bytes at a time; `low` goes on for LONGEST bytes behind the last word."""
    import numpy as np

    eights = low[: len(low) // 8 * 8].view("<u8")
    hashes = mix(_eight(eights, first, lengths))
    rest = np.flatnonzero(lengths > 8)
    for at in range(8, LONGEST, 8):
        rest = rest[lengths[rest] > at]
        if len(rest) == 0:
            return hashes
        hashes[rest] = mix(_eight(eights, first[rest] + at, lengths[rest] - at) + hashes[rest] * np.uint64(RADIX))
    for index in np.flatnonzero(lengths > LONGEST):
        word = low[first[index] : first[index] + lengths[index]].tobytes()
        hashes[index] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    return hashes


def _eight(eights: NDArray[np.uint64], first: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Up to eight bytes from each place on, as a number; those behind the word are zero. Memory is read where it is
    aligned, twice: that is several times faster."""
    import numpy as np

    places = first >> 3
    shifts = (first & 7).astype(np.uint64)
    shifts <<= np.uint64(3)
    found: NDArray[np.uint64] = eights.take(places)
    found >>= shifts
    places += 1
    following = eights.take(places)
    following <<= np.uint64(1)
    following <<= np.uint64(63) - shifts
    found |= following
    found &= _masks().take(lengths, mode="clip")
    return found


@cache
def _masks() -> NDArray[np.uint64]:
    """By length: the bits of so many bytes."""
    import numpy as np

    return (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.arange(64, -1, -8).astype(np.uint64)) * (np.arange(9) > 0)


def _windows(values: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """The number in base RADIX of every `size` words in a row, by doubling spans."""
    import numpy as np

    done: Any = None
    have, span, power = 0, 1, values
    while True:
        if size & 1:
            shifted = power[have:]
            done = power if done is None else done[: len(shifted)] * _radix(span) + shifted
            have += span
        size >>= 1
        if size == 0:
            return np.asarray(done, np.uint64)
        power = power[:-span] * _radix(span) + power[span:]
        span *= 2


def _short(values: NDArray[np.uint64], first: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """The number of texts with `count` words, told apart from shingles."""
    import numpy as np

    made: NDArray[np.uint64] = np.full(len(first), count, np.uint64)
    for at in range(count):
        made *= np.uint64(RADIX)
        made += values[first + at]
    return made


def _radix(power: int) -> np.uint64:
    import numpy as np

    return np.uint64(pow(RADIX, power, 1 << 64))
