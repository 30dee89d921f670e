"""Texts as words, and words as shingles, both as 64-bit hashes: what "nearly the same" is told by.

A word is a run of letters, marks, digits and symbols, without regard to case; punctuation and white space only
separate. In scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese and a few more) each
character is a word, and so is each emoji. A shingle is `size` words in a row; a text of fewer is one as a whole.

Texts are worked on in blocks, as bytes: no Python object is made per text or word.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.compiled import native
from ftspec.compiled.characters import beyond_ascii, small_letters
from ftspec.compiled.hashes import LONGEST, RADIX, Hashes, mix, of_bytes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 19
BLOCK_ROWS = 1 << 14
"""Text worked on at once. Smaller blocks would stay in a core's own cache, but each call has its price; arrays for
larger ones are taken from the system anew each time."""


class Texts(NamedTuple):
    """Texts of rows: row i has `values[offsets[i]:offsets[i + 1]]`, strings without nulls."""

    values: pa.Array
    offsets: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1


def blocks(texts: Texts) -> Iterator[tuple[int, int, Hashes]]:
    """(first row, end, its words grouped by text) for runs of rows with about BLOCK_BYTES of text."""
    import numpy as np

    if texts.rows == 0:
        return
    compiled = native.loaded(texts.values.nbytes)
    data, ends = native.laid_out(texts.values if compiled else _lowered(texts.values))
    starts = ends[texts.offsets]
    row = 0
    while row < texts.rows:
        end = int(np.searchsorted(starts, starts[row] + BLOCK_BYTES, "right")) - 1
        end = min(max(end, row + 1), row + BLOCK_ROWS, texts.rows)
        bounds = ends[texts.offsets[row] : texts.offsets[end] + 1]
        block, bounds = data[bounds[0] : bounds[-1]], bounds - bounds[0]
        yield row, end, compiled.words(block, bounds) if compiled else _words(block, bounds)
        row = end


def shingles(words: Hashes, size: int, salt: int = 0) -> Hashes:
    """The shingles of each group of words, in the order of the text, repeated ones too. `salt` keeps them apart from
    those of other texts."""
    import numpy as np

    compiled = native.loaded()
    if compiled:
        return compiled.shingles(words, size, salt)
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
    return Hashes(mix(made[kept]) ^ np.uint64(salt), np.concatenate([[0], np.cumsum(many)]))


def regrouped(words: Hashes, offsets: NDArray[np.int64]) -> Hashes:
    """The same hashes in larger groups: of the old ones, group i takes offsets[i] to offsets[i + 1]."""
    return Hashes(words.values, words.offsets[offsets - offsets[0]])


def _lowered(values: pa.Array) -> pa.Array:
    """Texts of more than ASCII in lower case: the others are lowered later."""
    import pyarrow.compute as pc

    more = pc.invert(pc.string_is_ascii(values))
    if not pc.any(more).as_py():
        return values
    return pc.replace_with_mask(values, more, pc.utf8_lower(values.filter(more)))


def _words(data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Hashes:
    """Hashes of the words of texts that stand one behind the other; no word spans two texts."""
    import numpy as np

    low = np.frombuffer(data.tobytes().translate(small_letters()) + bytes(LONGEST + 16), np.uint8)
    inside = low[: len(data)] != 0
    beyond = beyond_ascii(low, len(data))
    if beyond:
        for at in range(4):
            inside[beyond.places[beyond.widths > at] + at] = False
    starts, ends = inside.copy(), inside.copy()
    np.greater(inside[1:], inside[:-1], out=starts[1:])
    np.greater(inside[:-1], inside[1:], out=ends[:-1])
    cuts = bounds[1:-1]
    cuts = cuts[(cuts > 0) & (cuts < len(data))]
    cuts = cuts[inside[cuts] & inside[cuts - 1]]
    starts[cuts] = True
    ends[cuts - 1] = True
    if beyond:
        alone = beyond.places[beyond.alone]
        starts[alone] = True
        ends[alone + (beyond.widths[beyond.alone] - 1)] = True
    first = np.flatnonzero(starts)
    lengths = np.flatnonzero(ends)
    lengths -= first
    lengths += 1
    return Hashes(_hashed(low, first, lengths), np.searchsorted(first, bounds))


def _hashed(low: NDArray[np.uint8], first: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Each word's hash, eight bytes at a time; `low` goes on for LONGEST bytes behind the last word."""
    import numpy as np

    eights = low[: len(low) // 8 * 8].view("<u8")
    hashes = mix(_eight(eights, first, lengths))
    long = np.flatnonzero(lengths > 8)
    if len(long) == 0:
        return hashes
    first, lengths, further = first.take(long), lengths.take(long), hashes.take(long)
    further *= np.uint64(RADIX)
    further += _eight(eights, first + 8, lengths - 8)
    hashes[long] = mix(further)
    longer = np.flatnonzero(lengths > 16)
    if len(longer):
        hashes[long.take(longer)] = _longer(low, first.take(longer), lengths.take(longer), hashes[long.take(longer)])
    return hashes


def _longer(
    low: NDArray[np.uint8], first: NDArray[np.int64], lengths: NDArray[np.int64], hashes: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """The hashes of words of more than 16 bytes, of which two eights are in `hashes` already. Few words are so long, so
    all their eights are read at once; in order of length, those that have a next one are the first of them."""
    import numpy as np

    order = np.argsort(-lengths)
    first, lengths, hashes = first[order], lengths[order], hashes[order]
    steps = np.arange(16, LONGEST, 8)[:, None]
    found = _eight(low[: len(low) // 8 * 8].view("<u8"), first + steps, np.maximum(lengths - steps, 0))
    for eights, count in zip(found, (lengths > steps).sum(axis=1).tolist(), strict=True):
        part = hashes[:count]
        part *= np.uint64(RADIX)
        part += eights[:count]
        mix(part)
    for index in range(int((lengths > LONGEST).sum())):
        word = low[first[index] : first[index] + lengths[index]].tobytes()
        hashes[index] = of_bytes(word)
    made = np.empty_like(hashes)
    made[order] = hashes
    return made


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
