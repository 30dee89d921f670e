"""Loops over the texts of conversations, compiled as `wordkernels` are, and like these with pointers: for
`layout.chatlines`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.compiled.linekernels import pasted, special
from ftspec.compiled.wordkernels import HIGHS, LOWS, ONES, eight, lowest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "controlled": "number uint8 number number",
    "spoken": "nothing uint8 int64 number int64",
    "joined": "number uint8 int64 number int64 uint8 int64 number uint8",
}
HELPERS = (
    "eight", "lowest", "special", "beyond_space", "is_wide_space", "has_wide_space", "ascii_parted", "parted", "pasted",
    "headed",
)  # fmt: skip

BEHIND = 7
"""Bytes that are read and written beyond the last one."""
VISIBLE = 0x5F * ONES
"""Added to eight bytes of ASCII it leaves a bit above each that is beyond the space."""


def controlled(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether a byte is a control character of ASCII and no tab, line feed or carriage return. It looks at all, and
    does nothing else: so LLVM does many bytes at once."""
    found = False
    for at in range(start, end):
        byte = data[at]
        found |= (byte < 0x20) & (byte != 0x09) & (byte != 0x0A) & (byte != 0x0D)
    return found


def beyond_space(value: Any) -> Any:
    """A bit for each of eight bytes that is beyond ASCII's space."""
    return ((value & np.uint64(LOWS)) + np.uint64(VISIBLE) | value) & np.uint64(HIGHS)


def is_wide_space(data: NDArray[np.uint8], at: int, end: int) -> bool:
    """Whether white space beyond ASCII, as `str.split` knows it, begins there."""
    first, second = data[at], data[at + 1]
    if first == 0xC2:
        return bool((second == 0x85) | (second == 0xA0))
    if first < 0xE1 or first > 0xE3 or at + 2 >= end:
        return False
    third = data[at + 2]
    if first == 0xE1:
        return bool((second == 0x9A) & (third == 0x80))
    if first == 0xE3:
        return bool((second == 0x80) & (third == 0x80))
    if second == 0x81:
        return bool(third == 0x9F)
    lines = (third == 0xA8) | (third == 0xA9) | (third == 0xAF)
    return bool((second == 0x80) & (lines | (third < 0x8B)))


def has_wide_space(data: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether a text holds one."""
    at = start
    while at + 8 <= end:
        value = eight(data, at)
        leads = value & (value << np.uint64(1)) & np.uint64(HIGHS)
        while leads:
            if is_wide_space(data, at + (lowest(leads) >> 3), end):
                return True
            leads &= leads - np.uint64(1)
        at += 8
    while at < end - 1:
        if data[at] >= 0xC2 and is_wide_space(data, at, end):
            return True
        at += 1
    return False


def ascii_parted(data: NDArray[np.uint8], start: int, end: int) -> tuple[Any, bool]:
    """(how many words a text has that ASCII's white space parts, whether a byte of it is beyond ASCII)."""
    count, high, at = np.uint64(data[start] > 0x20), np.uint64(data[start]), start + 1
    while at + 8 <= end:
        value = eight(data, at)
        begins = beyond_space(value) & ~beyond_space(eight(data, at - 1))
        count += ((begins >> np.uint64(7)) * np.uint64(ONES)) >> np.uint64(56)
        high |= value
        at += 8
    while at < end:
        count += np.uint64((data[at] > 0x20) & (data[at - 1] <= 0x20))
        high |= np.uint64(data[at])
        at += 1
    return np.int64(count), (high & np.uint64(HIGHS)) != np.uint64(0)


def parted(data: NDArray[np.uint8], start: int, end: int) -> int:
    """How many words a text has that any white space parts."""
    count, inside, at = 0, False, start
    while at < end:
        wide = data[at] >= 0xC2 and is_wide_space(data, at, end)
        space = wide or data[at] <= 0x20
        count += not (space or inside)
        inside = not space
        at += (2 if data[at] == 0xC2 else 3) if wide else 1
    return count


def spoken(data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int, made: NDArray[np.int64]) -> None:
    """How many words each text has, as `str.split` makes them. It has no control characters but white space."""
    for text in range(texts):
        start, end, beyond = bounds[text], bounds[text + 1], False
        made[text] = 0
        if start < end:
            made[text], beyond = ascii_parted(data, start, end)
        if beyond and has_wide_space(data, start, end):
            made[text] = parted(data, start, end)


def headed(heads: NDArray[np.uint8], parts: NDArray[np.int64], which: int, made: NDArray[np.uint8], to: int) -> Any:
    """Copy a head, and say where it ends."""
    begins, end = parts[which], parts[which + 1]
    for at in range(begins, end, 8):
        pasted(heads, at, made, to + at - begins)
    return to + end - begins


def joined(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int, which: NDArray[np.int64],
    heads: NDArray[np.uint8], parts: NDArray[np.int64], last: int, made: NDArray[np.uint8],
) -> Any:  # fmt: skip
    """Write each text as JSON does behind the head that `which` names, and the last head behind all; says where that
    ends.

    heads, parts: the heads one behind the other, and BEHIND bytes; where each begins, and the last one ends.
    made: has room for all heads, for twice the texts, and for BEHIND bytes.
    """
    to = 0
    for text in range(texts):
        to = headed(heads, parts, which[text], made, to)
        at, end = bounds[text], bounds[text + 1]
        while at < end:
            if at + 8 <= end:
                found = special(pasted(data, at, made, to))
                same = lowest(found) >> 3 if found else 8
                at, to = at + same, to + same
                if same == 8:
                    continue
            byte = data[at]
            if byte == 0x22 or byte == 0x5C or byte < 0x20:
                made[to] = np.uint8(0x5C)
                to += 1
                if byte < 0x20:
                    byte = np.uint8(0x6E) if byte == 0x0A else (np.uint8(0x74) if byte == 0x09 else np.uint8(0x72))
            made[to] = byte
            at, to = at + 1, to + 1
    return headed(heads, parts, last, made, to)
