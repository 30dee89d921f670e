"""Which texts may have an address, an account's number, a card's or a telephone's: loops over the bytes of many texts,
compiled as `wordkernels` are, and like these with pointers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.compiled.scankernels import is_ascii
from ftspec.compiled.wordkernels import HIGHS, LOWS, ONES, eight, lowest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {"telling": "nothing uint8 int64 number uint32 uint8 uint8 uint8"}
HELPERS = (
    "eight", "lowest", "is_ascii", "next_sign", "is_all", "is_mail", "is_account", "is_card", "is_address", "is_said",
    "is_announced", "groups", "is_phone", "numbers", "has_numerals",
)  # fmt: skip

DIGIT, HEX, CAPITAL, LETTER, SPACE = 1, 2, 4, 8, 16
SIGN, COLON, WORD, EDGE = 32, 64, 128, 256
BETWEEN, JOINT, SAID, NUMERAL = 512, 1024, 2048, 4096
FIRST, INNER = 8192, 16384
"""What a byte is, to `telling`.

SIGN: an @. WORD: a letter behind which no telephone number ends: none of an extension. EDGE: a sign behind which none
begins, as behind a LETTER.
BETWEEN: two at most stand between two digits of a telephone number. JOINT: one at most between two of a card's, and
behind the head of an account's. SAID: stands between a word and the number that it announces.
NUMERAL: begins a digit beyond ASCII, or may.
FIRST: a digit that a card's number begins with, if INNER is not before it.
"""
MAIL, ACCOUNT, ADDRESS, PHONE, CARD = 1, 2, 4, 8, 16
"""What may be in a text."""
FEWEST, MOST = 7, 15
"""Digits of a telephone number."""
SHORT, LONG = 12, 19
"""Digits of a card's number."""
REACH, NAMED = 40, 24
"""Characters before a telephone number in which it is announced, and bytes behind it in which it is named."""
BEYOND = 0x75 * ONES
"""Added to eight bytes below 0x80 it leaves a bit above each that is 0x0B or more."""
FOUND = 255
"""The state in which a word is found."""


def next_sign(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Where the next digit, colon or @ is, or the end."""
    while at + 8 <= end:
        value = eight(data, at)
        digit, sign = value ^ np.uint64(0x30 * ONES), value ^ np.uint64(0x40 * ONES)
        # The highest bit of a byte is set where the first is beyond the colon's, and where the other is not 0.
        others = (digit & np.uint64(LOWS)) + np.uint64(BEYOND) | digit
        others &= (sign & np.uint64(LOWS)) + np.uint64(LOWS) | sign
        found = ~others & np.uint64(HIGHS)
        if found:
            at += lowest(found) >> 3
            return at
        at += 8
    while at < end and not 0x30 <= data[at] <= 0x3A and data[at] != 0x40:
        at += 1
    return at


def is_all(data: NDArray[np.uint8], start: int, end: int, kinds: NDArray[np.uint32], wanted: int) -> bool:
    """Whether all bytes are of one of the wanted kinds."""
    every = True
    for at in range(start, end):
        every &= kinds[data[at]] & wanted != 0
    return every


def is_mail(data: NDArray[np.uint8], at: int, end: int, kinds: NDArray[np.uint32]) -> bool:
    """Whether a dot within a word follows the @."""
    for place in range(at + 1, end - 1):
        if kinds[data[place]] & (SPACE | SIGN) != 0:
            return False
        if data[place] == 0x2E and place > at + 1 and kinds[data[place + 1]] & SPACE == 0:
            return True
    return False


def is_account(data: NDArray[np.uint8], start: int, at: int, end: int, kinds: NDArray[np.uint32]) -> bool:
    """Whether a digit is the fourth of two capitals, two digits, and four of either, perhaps behind JOINT."""
    if at - start < 3 or at + 5 > end or kinds[data[at - 3]] & kinds[data[at - 2]] & CAPITAL == 0:
        return False
    behind = at + 2 if kinds[data[at + 1]] & JOINT != 0 else at + 1
    return behind + 4 <= end and is_all(data, behind, behind + 4, kinds, CAPITAL | DIGIT)


def is_card(data: NDArray[np.uint8], at: int, end: int, kinds: NDArray[np.uint32]) -> bool:
    """Whether a card's number may begin with a digit: so many digits pass Luhn's check, and no other follows."""
    even: Any = 0
    odd: Any = 0
    count = 0
    while count < LONG:
        value = np.int64(data[at]) & 15
        doubled = 2 * value - 9 * (value > 4)
        even, odd = (even + value, odd + doubled) if count % 2 == 0 else (even + doubled, odd + value)
        follows = at + 1 < end and kinds[data[at + 1]] & DIGIT != 0
        # Of the digits up to one at an even place, those at even places count once, and the other way round.
        if count + 1 >= SHORT and not follows and (even if count % 2 == 0 else odd) % 10 == 0:
            return True
        if not follows:
            if at + 2 >= end or kinds[data[at + 1]] & JOINT == 0 or kinds[data[at + 2]] & DIGIT == 0:
                return False
            at += 1
        at += 1
        count += 1
    return False


def is_address(
    data: NDArray[np.uint8], start: int, colon: int, at: int, end: int, kinds: NDArray[np.uint32]
) -> bool:  # fmt: skip
    """Whether two colons are those of `1:2:`, `::2:` or `1::2`, with up to four digits of base 16."""
    if colon <= start or at - colon > 5 or not is_all(data, colon + 1, at, kinds, HEX):
        return False
    if at - colon > 1:
        return bool(kinds[data[colon - 1]] & (HEX | COLON) != 0)
    return bool(at + 1 < end and kinds[data[colon - 1]] & kinds[data[at + 1]] & HEX != 0)


def is_said(data: NDArray[np.uint8], at: int, end: int, states: NDArray[np.uint8]) -> bool:
    """Whether there is one of the words that `states` (by state and byte the next state) finds."""
    state: Any = 0
    for place in range(at, end):
        state = states[(np.int64(state) << 8) | data[place]]
        if state == FOUND:
            return True
    return False


def is_announced(data: NDArray[np.uint8], start: int, at: int, states: NDArray[np.uint8]) -> bool:
    """Whether one of the words is among the last REACH characters."""
    begin, count = at, 0
    while begin > start and count < REACH:
        begin -= 1
        count += data[begin] & 0xC0 != 0x80
    return is_said(data, begin, at, states)


def groups(data: NDArray[np.uint8], at: int, end: int, kinds: NDArray[np.uint32]) -> Any:
    """How many digits each group has of the number that begins there, up to where it may end, in base 16; 0 where it
    ends too early or too late."""
    made: Any = 0
    count = group = 1
    while count <= MOST:
        step = 0
        if at + 1 < end and kinds[data[at + 1]] & DIGIT != 0:
            step = 1
        elif at + 2 < end and kinds[data[at + 1]] & BETWEEN != 0:
            if kinds[data[at + 2]] & DIGIT != 0:
                step = 2
            elif at + 3 < end and kinds[data[at + 2]] & BETWEEN != 0 and kinds[data[at + 3]] & DIGIT != 0:
                step = 3
        if step != 1:
            made = made * 16 + group
            group = 0
            if step == 0 and (count < FEWEST or (at + 1 < end and kinds[data[at + 1]] & WORD != 0)):
                return 0
            if count >= FEWEST:
                return made
        at += step
        count += 1
        group += 1
    return 0


def is_phone(
    data: NDArray[np.uint8], start: int, at: int, end: int, kinds: NDArray[np.uint32], stems: NDArray[np.uint8]
) -> bool:  # fmt: skip
    """Whether a telephone number may begin with a digit, by how it is written, or by what stands before it."""
    if at > start and kinds[data[at - 1]] & (LETTER | EDGE) != 0:
        return False
    written = groups(data, at, end, kinds)
    if written == 0:
        return False
    american = written == 0x43 or written == 0x133 or (written >> 4 == 0x33 and written & 15 > 3)
    if american or (data[at] == 0x30 and kinds[data[at + 1]] & DIGIT != 0):
        return True
    if at == start:
        return False
    back = at - 1
    while back > start and data[back] == 0x28:
        back -= 1
    brazilian = data[at - 1] == 0x28 and (written == 0x244 or written == 0x25)
    if brazilian or data[back] == 0x2B:  # +49, and +(49) too
        return True
    back = at - 1
    while back > start and at - back < 7 and kinds[data[back]] & SAID != 0:
        back -= 1
    said = kinds[data[back]] & (SAID | LETTER) != 0 or data[back] >= 0x80
    return said and is_announced(data, start, at, stems)


def numbers(
    data: NDArray[np.uint8], start: int, first: int, last: int, end: int, kinds: NDArray[np.uint32],
    stems: NDArray[np.uint8], names: NDArray[np.uint8],
) -> Any:  # fmt: skip
    """PHONE and CARD, if they may be among digits that are near one another, from the first to the last."""
    found: Any = 0
    for at in range(first, last + 1):
        if kinds[data[at]] & DIGIT != 0:
            before = kinds[data[at - 1]] if at > start else 0
            if found & CARD == 0 and kinds[data[at]] & FIRST != 0 and before & INNER == 0:
                found |= CARD * is_card(data, at, end, kinds)
            if found & PHONE == 0 and before & DIGIT == 0:
                found |= PHONE * is_phone(data, start, at, end, kinds, stems)
            if found & PHONE == 0 and (at + 1 == end or kinds[data[at + 1]] & DIGIT == 0):
                found |= PHONE * is_said(data, at + 1, min(at + 1 + NAMED, end), names)
    return found


def has_numerals(data: NDArray[np.uint8], start: int, end: int, kinds: NDArray[np.uint32]) -> bool:
    """Whether there may be a digit beyond ASCII."""
    some = False
    if not is_ascii(data, start, end):
        for at in range(start, end):
            some |= kinds[data[at]] & NUMERAL != 0
    return some


def telling(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], texts: int, kinds: NDArray[np.uint32],
    stems: NDArray[np.uint8], names: NDArray[np.uint8], made: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Of each text what may be in it, from MAIL to CARD. A telephone number is announced by the words of `stems`, and
    named behind it by those of `names`."""
    for text in range(texts):
        start, end = bounds[text], bounds[text + 1]
        digit = colon = start - 9
        first = count = dots = 0
        some = False
        found: Any = 0
        at = next_sign(data, start, end)
        while at < end:
            kind = kinds[data[at]] & (DIGIT | SIGN | COLON)
            if kind == SIGN:
                found |= MAIL * is_mail(data, at, end, kinds)
            elif kind == COLON:
                found |= ADDRESS * is_address(data, start, colon, at, end, kinds)
                colon = at
            elif kind == DIGIT:
                gap, group = at - digit, at
                near = gap == 2 and kinds[data[at - 1]] & BETWEEN != 0
                near = near or (gap == 3 and kinds[data[at - 1]] & kinds[data[at - 2]] & BETWEEN != 0)
                if not near:
                    if count >= FEWEST:
                        found |= numbers(data, start, first, digit, end, kinds, stems, names)
                        some = True
                    first, count = at, 0
                dots = dots + 1 if gap == 2 and data[at - 1] == 0x2E else 0
                found |= ADDRESS * (dots == 3)
                while at + 1 < end and kinds[data[at + 1]] & DIGIT != 0:
                    at += 1
                digit = at
                count += at + 1 - group
                if at > group:
                    found |= ACCOUNT * is_account(data, start, group + 1, end, kinds)
                if some and found & PHONE == 0:
                    found |= PHONE * is_said(data, at + 1, min(at + 1 + NAMED, end), names)
            at = next_sign(data, at + 1, end)
        if count >= FEWEST:
            found |= numbers(data, start, first, digit, end, kinds, stems, names)
            some = True
        if some and found & PHONE == 0:
            found |= PHONE * has_numerals(data, start, end, kinds)
        made[text] = found
