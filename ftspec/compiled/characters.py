"""What a character does: it belongs to a word, separates words, or is a word by itself. Tables over code points.

Capitals are lowered as Arrow does it; those of ASCII by `small_letters`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ftspec.files import usercache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD, APART, ALONE, MIXED = 0, 1, 2, 3
"""MIXED: what two bytes begin is now the one, now the other."""

CASED, IDEOGRAPHS_END = 0x20000, 0x40000
"""From the one to the other there are ideographs. They have no case, nor has anything beyond."""
UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0x2E80, 0x2FDF),
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x303C), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
    (CASED, IDEOGRAPHS_END - 1),
)  # fmt: skip
"""Blocks of scripts without spaces: Thai and Lao, Burmese, Khmer, Tai, Han with its radicals, Kana, Han beyond."""


class Beyond(NamedTuple):
    """Characters beyond ASCII that are no part of a word: where each begins, its bytes, and whether it is one alone."""

    places: NDArray[np.int64]
    widths: NDArray[np.uint8]
    alone: NDArray[np.bool_]


def beyond_ascii(low: NDArray[np.uint8], end: int) -> Beyond | None:
    """Those of the UTF-8 in `low` up to `end` (three bytes follow); None where all is ASCII.

    Two bytes say it of nearly all characters; the code point is only made of the others.
    """
    import numpy as np

    leading = low[:end] >= 0xC0
    if not leading.any():
        return None
    places = np.flatnonzero(leading)
    leads = low.take(places)
    kinds = _kinds_by_two().take((leads.astype(np.uint16) << np.uint16(8)) | low.take(places + 1))
    some = np.flatnonzero(kinds)
    places, leads, kinds = places.take(some), leads.take(some), kinds.take(some)
    mixed = np.flatnonzero(kinds == MIXED)
    if len(mixed):
        kinds[mixed] = kinds_of_all().take(_code_points(low, places.take(mixed), leads.take(mixed)))
        some = np.flatnonzero(kinds)
        places, leads, kinds = places.take(some), leads.take(some), kinds.take(some)
    return Beyond(places, _widths().take(leads), kinds == ALONE)


def _code_points(low: NDArray[np.uint8], places: NDArray[np.int64], leads: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Of characters of three or four bytes."""
    import numpy as np

    second, third, fourth = (low.take(places + at).astype(np.int32) & 0x3F for at in (1, 2, 3))
    code = ((leads.astype(np.int32) & 0x0F) << 12) | (second << 6) | third
    return np.where(leads < 0xF0, code, ((code & 0x7FFF) << 6) | fourth)


@cache
def small_letters() -> bytes:
    """By byte: small letters for capitals, zero for what separates words, the others (digits, bytes beyond ASCII, the
    symbols # $ % & * + - / < = > @ ^ | ~) as they are."""
    kept = [chr(code) for code in range(0x80) if chr(code).isalnum() or chr(code) in "#$%&*+-/<=>@^|~"]
    small = bytes(ord(chr(code).lower()) if chr(code) in kept else 0 for code in range(0x80))
    return small + bytes(range(0x80, 0x100))


def in_lower_case(text: str) -> str:
    """As Arrow does it, which has one small letter for each capital."""
    import pyarrow as pa
    import pyarrow.compute as pc

    builder = pa.lib.StringBuilder()  # `pa.array` imports pandas too
    builder.append(text)
    lower: str = pc.utf8_lower(builder.finish())[0].as_py()
    return lower


@cache
def lowered() -> NDArray[np.uint32]:
    """The lower case of each code point below CASED."""
    import numpy as np

    codes: NDArray[np.uint32] = np.arange(CASED, dtype=np.uint32)
    some = (codes < 0xD800) | (codes >= 0xE000)
    text = in_lower_case(codes[some].tobytes().decode("utf-32-le"))
    codes[some] = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    return codes


@cache
def kinds_of_all() -> NDArray[np.uint8]:
    """WORD, APART or ALONE for every code point, by Unicode's categories. What has none yet will most likely be a
    letter: no newer Python is to change much."""
    import numpy as np

    first, second = np.frombuffer(categories(), np.uint8).reshape(-1, 2).T
    word = np.isin(first, np.frombuffer(b"LMNS", np.uint8)) | ((first == ord("C")) & (second == ord("n")))
    kinds: NDArray[np.uint8] = np.full(0x110000, WORD, np.uint8)
    kinds[:CASED][~word] = APART
    kinds[:CASED][(first == ord("S")) & (second == ord("o"))] = ALONE
    for start, end in UNSPACED:
        block = kinds[start : end + 1]
        block[block == WORD] = ALONE
    return kinds


def categories() -> bytes:
    """Two letters for each code point below CASED, kept in the user's cache: to ask for each takes as long as a
    thousand rows."""
    import unicodedata

    place = usercache.folder("unicode") / f"{unicodedata.unidata_version}-{CASED:x}"
    names = usercache.read(place)
    if names is None:
        names = "".join(map(unicodedata.category, map(chr, range(CASED)))).encode()
        usercache.write(place, names)
    return names


@cache
def pages() -> NDArray[np.uint8]:
    """By the upper bits of code points below CASED, all but six: the kind of these 64, where none has another in lower
    case; else MIXED."""
    import numpy as np

    small = lowered() == np.arange(CASED)
    return _common(np.where(small, kinds_of_all()[:CASED], np.uint8(MIXED)).reshape(-1, 64))


@cache
def _kinds_by_two() -> NDArray[np.uint8]:
    """By a character's first two bytes, as a number: its kind, or MIXED."""
    import numpy as np

    kinds = kinds_of_all()
    made: NDArray[np.uint8] = np.zeros((0x100, 0x100), np.uint8)
    made[0xC0:0xE0, 0x80:0xC0] = kinds[:0x800].reshape(32, 64)
    made[0xE0:0xF0, 0x80:0xC0] = _common(kinds[:0x10000].reshape(16, 64, 64))
    made[0xF0:0xF4, 0x80:0xC0] = _common(kinds[:0x100000].reshape(4, 64, 4096))
    made[0xF4, 0x80:0x90] = _common(kinds[0x100000:].reshape(16, 4096))
    return made.ravel()


def _common(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What all of the last axis are, or MIXED."""
    import numpy as np

    first = kinds[..., 0]
    return np.where((kinds == first[..., None]).all(axis=-1), first, np.uint8(MIXED))


@cache
def _widths() -> NDArray[np.uint8]:
    """By the first byte of a character: how many it has."""
    import numpy as np

    return np.repeat(np.arange(1, 5, dtype=np.uint8), [0xC0, 0x20, 0x10, 0x10])
