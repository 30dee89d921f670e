"""Loops over the bytes of many texts, compiled as `wordkernels` are, and like these with pointers: for `marks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {"marks": "nothing uint8 int64 number uint32 uint32 number number number number uint32"}
HELPERS = ("is_ascii", "is_dull")

OTHERS = 0x10000
"""The place in tables of all characters from there on."""
STRIDE = 32
"""Bytes that are looked at together: the processor compares so many at once."""


def is_ascii(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether all bytes are ASCII."""
    together = np.uint8(0)
    for at in range(start, end):
        together |= data[at]
    return bool(together < 0x80)


def is_dull(data: NDArray[np.uint8], start: int) -> bool:
    """Whether the STRIDE bytes from there on are ASCII's visible characters, and single blanks or line ends behind
    these."""
    dull = True
    for at in range(start, start + STRIDE):
        visible = (data[at] > 0x20) & (data[at] < 0x7F)
        apart = (data[at] == 0x20) | (data[at] == 0x09) | (data[at] == 0x0A)
        dull &= visible | (apart & (data[at - 1] > 0x20) & (data[at - 1] < 0x7F))
    return dull


def marks(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int,
    begins: NDArray[np.uint32], follows: NDArray[np.uint32], single: int, ends: int, beyond: int, skips: int,
    made: NDArray[np.uint32],
) -> None:  # fmt: skip
    """`marks.Marks`: of each text the bits that a character `begins` and the one behind it `follows`.

    single: bits that the beginning of a text begins.
    ends: bits that the end of a text follows.
    beyond: whether a text of ASCII alone has no bits.
    skips: whether nothing that `is_dull` has bits.
    """
    for text in range(texts):
        at, end = bounds[text], bounds[text + 1]
        made[text] = 0
        if beyond and is_ascii(data, at, end):
            continue
        found, before = np.uint32(0), np.uint32(single)
        looked = at + 1 if skips else end
        while at < end:
            if looked <= at and at + STRIDE <= end:
                looked = at + STRIDE
                if is_dull(data, at):
                    at = looked
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
