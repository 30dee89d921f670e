"""Loops over the bytes of many texts, compiled as `wordkernels` are, and like these with pointers: for `marks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "marks": "nothing uint8 int64 number uint32 uint32 number number number number uint32",
    "telling": "nothing uint8 int64 number uint8 uint8",
}
HELPERS = ("is_ascii", "is_dull", "is_hex", "is_silent")

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


DIGIT, AT, COLON, BETWEEN, HEX, CAPITAL = 1, 2, 4, 8, 16, 32
"""What a byte is: one of BETWEEN may stand between the digits of a number, two of them at most."""
SERIES = 7
"""Digits of a number."""


def is_hex(data: NDArray[np.uint8], start: int, end: int, kinds: NDArray[np.uint8]) -> bool:
    """Whether all bytes are digits of base 16."""
    together: Any = HEX
    for at in range(start, end):
        together &= kinds[data[at]]
    return bool(together != 0)


def is_silent(data: NDArray[np.uint8], start: int) -> bool:
    """Whether there is no digit, colon, @, nor one of ; < = > ? among the STRIDE bytes from there on.

    By arithmetic on bytes, which LLVM makes of all at once; of comparisons it makes one after the other.
    """
    high = np.uint8(0x80)
    for at in range(start, start + STRIDE):
        digit, sign = data[at] ^ 0x30, data[at] ^ 0x40
        # The highest bit is set where the first is 0x10 or more, and where the other is not 0.
        high = np.uint8(high & (((digit & 0x70) + 0x70) | digit) & (((sign & 0x7F) + 0x7F) | sign))
    return bool(high == 0x80)


def telling(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int, kinds: NDArray[np.uint8], made: NDArray[np.uint8]
) -> None:
    """Of each text whether it has an @, a number of SERIES digits, two capitals before two digits, three dots between
    digits, or two colons with at most four digits of base 16 between them, of which one comes next if there are none.
    """
    for text in range(texts):
        start, end = bounds[text], bounds[text + 1]
        digit = colon = start - 9
        series = dots = 0
        found = False
        stop = start
        while stop < end and not found:
            begin, stop = stop, min(stop + STRIDE, end)
            if stop - begin == STRIDE and is_silent(data, begin):
                continue
            for at in range(begin, stop):
                kind = kinds[data[at]] & (DIGIT | AT | COLON)
                if kind == 0:
                    continue
                if kind == DIGIT:
                    gap = at - digit
                    digit = at
                    dots = dots + (data[at - 1] == 0x2E) if gap == 2 else dots if gap == 1 else 0
                    linked = gap == 1 or (gap == 2 and kinds[data[at - 1]] & BETWEEN != 0)
                    linked = linked or (gap == 3 and kinds[data[at - 1]] & kinds[data[at - 2]] & BETWEEN != 0)
                    series = series + 1 if linked else 1
                    account = gap == 1 and at - start > 2 and kinds[data[at - 2]] & kinds[data[at - 3]] & CAPITAL != 0
                    found = series == SERIES or dots == 3 or account
                elif kind == COLON:
                    near = at - colon <= 5 and is_hex(data, colon + 1, at, kinds)
                    found = near and (at - colon > 1 or (at + 1 < end and is_hex(data, at + 1, at + 2, kinds)))
                    colon = at
                else:
                    found = True
                if found:
                    break
        made[text] = found
