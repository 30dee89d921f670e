"""Loops over the bytes of many texts, compiled as `wordkernels` are, and like these with pointers: for `marks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.compiled.wordkernels import HIGHS, LOWS, ONES, eight, lowest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {"marks": "nothing uint8 int64 number uint32 uint32 number number number number uint32"}
HELPERS = ("eight", "lowest", "is_ascii", "visible", "next_odd")

OTHERS = 0x10000
"""The place in tables of all characters from there on."""


def is_ascii(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether all bytes are ASCII."""
    together = np.uint8(0)
    for at in range(start, end):
        together |= data[at]
    return bool(together < 0x80)


def visible(value: Any) -> Any:
    """The highest bit of each of eight bytes that is a visible character of ASCII."""
    delete = value ^ np.uint64(0x7F * ONES)
    some = (value & np.uint64(LOWS)) + np.uint64(0x5F * ONES)
    return some & ((delete & np.uint64(LOWS)) + np.uint64(LOWS)) & ~value & np.uint64(HIGHS)


def next_odd(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Where the next byte is that is none of ASCII's visible characters, nor a single space behind one; or the end, or
    a place less than eight bytes before it."""
    seen = np.uint64(0x20 < data[at - 1] < 0x7F) << np.uint64(7)
    while at + 8 <= end:
        value = eight(data, at)
        here, space = visible(value), value ^ np.uint64(0x20 * ONES)
        other = (space & np.uint64(LOWS)) + np.uint64(LOWS) | space
        odd = ~(here | (~other & (here << np.uint64(8) | seen))) & np.uint64(HIGHS)
        if odd:
            at += lowest(odd) >> 3
            return at
        seen = here >> np.uint64(56)
        at += 8
    return at


def marks(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int,
    begins: NDArray[np.uint32], follows: NDArray[np.uint32], single: int, ends: int, beyond: int, skips: int,
    made: NDArray[np.uint32],
) -> None:  # fmt: skip
    """`marks.Marks`: of each text the bits that a character `begins` and the one behind it `follows`.

    single: bits that the beginning of a text begins.
    ends: bits that the end of a text follows.
    beyond: whether a text of ASCII alone has no bits.
    skips: whether nothing that `next_odd` passes over has bits.
    """
    for text in range(texts):
        at, end = bounds[text], bounds[text + 1]
        made[text] = 0
        if beyond and is_ascii(data, at, end):
            continue
        found, before = np.uint32(0), np.uint32(single)
        looked = at + 1 if skips else end
        while at < end:
            if looked <= at and data[at] < 0x80:
                begin = at
                at = next_odd(data, at, end)
                looked = at + 1
                if at > begin:
                    before = begins[data[at - 1]]
                    continue
            code: Any = np.int64(data[at])
            if code < 0x80:
                at += 1
            elif code < 0xE0:
                code = ((code & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F)
                at += 2
            elif code < 0xF0:
                code = ((code & 0x0F) << 12) | ((np.int64(data[at + 1]) & 0x3F) << 6) | (np.int64(data[at + 2]) & 0x3F)
                at += 3
            else:
                code = OTHERS
                at += 4
            found |= before & follows[code]
            before = begins[code]
        made[text] = found | (before & np.uint32(ends))
