"""Loops over JSON lines, compiled as `wordkernels` are, and like these with pointers: for `sources.machine`.

They take lines that hold nothing but texts, and messages of nothing but texts, under the names they are given, and say
no to all else: whoever reads JSON in general reads it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.compiled.wordkernels import HIGHS, ONES, eight, encoded, lowest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {
    "lines": "number uint8 number uint8 int64 number number number number int64 int64 int64",
    "decoded": "nothing uint8 number int64 int64 number uint8",
}
HELPERS = (
    "eight", "lowest", "encoded", "blanks", "named", "special", "digits", "escape", "closing", "text", "said", "put",
    "pasted", "copied",
)  # fmt: skip

NO = -1
"""What the lines hold is not for these loops."""
LEAST = 4
"""Bytes that a value takes at least, beside its name in quotes: a colon, two for an empty one, what stands behind."""
MISSING = -(1 << 62)
"""Where a text begins that is not there; one that holds escapes begins at ~place, which is below zero too."""
CONTROLS, QUOTES, SLASHES = 0x20 * ONES, 0x22 * ONES, 0x5C * ONES
"""Eight times the first character that is no control character, `"` and the backslash."""


def blanks(data: NDArray[np.uint8], at: int) -> int:
    """Where the blanks end that begin there: what JSON takes for such, without the line feed."""
    while data[at] == 0x20 or data[at] == 0x09 or data[at] == 0x0D:
        at += 1
    return at


def named(
    data: NDArray[np.uint8], at: int, names: NDArray[np.uint8], bounds: NDArray[np.int64],
    first: int, last: int, guess: int,
) -> tuple[int, int]:  # fmt: skip
    """(which of the names from first to last stands there, in its quotes, where its value begins), or NO. That which is
    guessed is tried first."""
    for turn in range(last - first):
        which = guess + turn
        if which >= last:
            which -= last - first
        begins = bounds[which]
        length, same = bounds[which + 1] - begins, 0
        while same < length and data[at + same] == names[begins + same]:
            same += 1
        if same == length:
            at = blanks(data, at + length)
            return (which, blanks(data, at + 1)) if data[at] == 0x3A else (NO, at)
    return NO, at


def special(value: Any) -> Any:
    """A bit in the first of eight bytes that ends a text, begins an escape or is a control character; above it any."""
    quotes, slashes = value ^ np.uint64(QUOTES), value ^ np.uint64(SLASHES)
    below = (value - np.uint64(CONTROLS)) & ~value
    found = ((quotes - np.uint64(ONES)) & ~quotes) | ((slashes - np.uint64(ONES)) & ~slashes) | below
    return found & np.uint64(HIGHS)


def digits(data: NDArray[np.uint8], at: int) -> Any:
    """The number that four hexadecimal digits are, or NO."""
    value: Any = 0
    for place in range(4):
        byte = np.int64(data[at + place])
        letter = byte | 0x20
        if 0x30 <= byte <= 0x39:
            value = 16 * value + byte - 0x30
        elif 0x61 <= letter <= 0x66:
            value = 16 * value + letter - 0x57
        else:
            return NO
    return value


def escape(data: NDArray[np.uint8], at: int) -> tuple[int, Any]:
    """(how many bytes the escape has that begins with the backslash there, the code point it stands for), or NO."""
    kind = data[at + 1]
    if kind == 0x75:  # u
        code = digits(data, at + 2)
        if code < 0xD800 or code > 0xDFFF:
            return 6, code
        if code < 0xDC00 and data[at + 6] == 0x5C and data[at + 7] == 0x75:
            low = digits(data, at + 8)
            if 0xDC00 <= low <= 0xDFFF:
                return 12, 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
        return 6, NO
    if kind == 0x6E:  # n
        return 2, 0x0A
    if kind == 0x74:  # t
        return 2, 0x09
    if kind == 0x72:  # r
        return 2, 0x0D
    if kind == 0x62:  # b
        return 2, 0x08
    if kind == 0x66:  # f
        return 2, 0x0C
    return 2, np.int64(kind) if kind == 0x22 or kind == 0x5C or kind == 0x2F else NO


def closing(data: NDArray[np.uint8], at: int, size: int) -> tuple[int, int, int]:
    """(where the text ends that begins there, in bytes how long it is without escapes, whether it has some), or NO."""
    start, saved, escaped = at, 0, 0
    while True:
        while at + 8 <= size:
            found = special(eight(data, at))
            if found:
                at += lowest(found) >> 3
                break
            at += 8
        while at < size and data[at] >= 0x20 and data[at] != 0x22 and data[at] != 0x5C:
            at += 1
        if at >= size or data[at] < 0x20:
            return NO, 0, 0
        if data[at] == 0x22:
            return at, at - start - saved, escaped
        long, code = escape(data, at)
        if code < 0:
            return NO, 0, 0
        at, saved, escaped = at + long, saved + long - encoded(code)[0], 1


def text(
    data: NDArray[np.uint8], at: int, size: int, starts: NDArray[np.int64], ends: NDArray[np.int64], place: int
) -> int:  # fmt: skip
    """Note where the text stands that begins with a quote there, and where it ends once all before it are decoded.
    Gives where it is over, or NO."""
    if data[at] != 0x22:
        return NO
    end, length, escaped = closing(data, at + 1, size)
    if end < 0:
        return NO
    starts[place] = ~(at + 1) if escaped else at + 1
    ends[place] = ends[place - 1] + length
    return end + 1


def said(
    data: NDArray[np.uint8], at: int, size: int, names: NDArray[np.uint8], bounds: NDArray[np.int64],
    columns: int, keys: int, room: int, starts: NDArray[np.int64], ends: NDArray[np.int64], message: int,
) -> tuple[int, int]:  # fmt: skip
    """(where the list of messages is over that begins there or NO, the place of the message after it)."""
    if data[at] != 0x5B:
        return NO, message
    at = blanks(data, at + 1)
    if data[at] == 0x5D:
        return at + 1, message
    while data[at] == 0x7B:
        at, had, guess = blanks(data, at + 1), 0, columns
        while True:
            which, at = named(data, at, names, bounds, columns, columns + keys, guess)
            if which < 0 or had & (1 << which):
                return NO, message
            had |= 1 << which
            guess = which + 1 if which + 1 < columns + keys else columns
            at = text(data, at, size, starts, ends, which * room + message)
            if at < 0:
                return NO, message
            at = blanks(data, at)
            if data[at] != 0x2C:
                break
            at = blanks(data, at + 1)
        if data[at] != 0x7D:
            return NO, message
        for slot in range(columns, columns + keys):
            if not had & (1 << slot):
                starts[slot * room + message] = MISSING
                ends[slot * room + message] = ends[slot * room + message - 1]
        message += 1
        at = blanks(data, at + 1)
        if data[at] == 0x5D:
            return at + 1, message
        if data[at] != 0x2C:
            break
        at = blanks(data, at + 1)
    return NO, message


def lines(
    data: NDArray[np.uint8], size: int, names: NDArray[np.uint8], bounds: NDArray[np.int64], columns: int, keys: int,
    messages: int, room: int, starts: NDArray[np.int64], ends: NDArray[np.int64], offsets: NDArray[np.int64],
) -> int:  # fmt: skip
    """How many rows the lines are, each an object with all columns, or NO. A byte that no JSON has stands behind them.

    names, bounds: the columns' and then the messages' keys, as JSON writes them.
    messages: the column that holds messages, or NO; the others hold texts.
    starts, ends: of each name `room` places, the first one for what is before the first text. Where the text begins in
        `data` (at ~place if it holds escapes, MISSING if it is not there), and where it ends once all are decoded.
    offsets: behind each row's messages, counted from 0.
    """
    at, row, message = 0, 1, 1
    while True:
        at = blanks(data, at)
        if data[at] != 0x7B:
            return NO
        at, had, guess = blanks(data, at + 1), 0, 0
        while True:
            which, at = named(data, at, names, bounds, 0, columns, guess)
            if which < 0 or had & (1 << which):
                return NO
            had |= 1 << which
            guess = which + 1 if which + 1 < columns else 0
            if which == messages:
                at, message = said(data, at, size, names, bounds, columns, keys, room, starts, ends, message)
                offsets[row] = message - 1
            else:
                at = text(data, at, size, starts, ends, which * room + row)
            if at < 0:
                return NO
            at = blanks(data, at)
            if data[at] != 0x2C:
                break
            at = blanks(data, at + 1)
        if data[at] != 0x7D or had != (1 << columns) - 1:
            return NO
        at = blanks(data, at + 1)
        if at >= size:
            return row
        if data[at] != 0x0A:
            return NO
        at, row = at + 1, row + 1


def put(made: NDArray[np.uint8], to: int, code: int) -> int:
    """Write a code point in UTF-8, and say where it ends."""
    width, value = encoded(code)
    for place in range(width):
        made[to + place] = np.uint8(value >> np.uint64(8 * place))
    return to + width


def pasted(data: NDArray[np.uint8], at: int, made: NDArray[np.uint8], to: int) -> Any:
    """Copy eight bytes, and give them as a number."""
    value = eight(data, at)
    for place in range(8):
        made[to + place] = np.uint8(value >> np.uint64(8 * place))
    return value


def copied(data: NDArray[np.uint8], at: int, escaped: bool, made: NDArray[np.uint8], to: int) -> int:
    """Copy eight bytes, and say how many of them are before an escape."""
    slashes = pasted(data, at, made, to) ^ np.uint64(SLASHES)
    found = (slashes - np.uint64(ONES)) & ~slashes & np.uint64(HIGHS)
    return lowest(found) >> 3 if escaped and found else 8


def decoded(
    data: NDArray[np.uint8], size: int, starts: NDArray[np.int64], ends: NDArray[np.int64], count: int,
    made: NDArray[np.uint8],
) -> None:  # fmt: skip
    """The texts `lines` has found, one behind the other. What is copied beyond a text's end the next overwrites."""
    to = 0
    for index in range(1, count + 1):
        at, end = starts[index], ends[index]
        if at == MISSING:
            continue
        escaped = at < 0
        at = ~at if escaped else at
        while to < end:
            if at + 8 <= size and to + 8 <= ends[count]:
                same = copied(data, at, escaped, made, to)
                at, to = at + same, to + same
                if same == 8 or to >= end:
                    continue
            if escaped and data[at] == 0x5C:
                long, code = escape(data, at)
                at, to = at + long, put(made, to, code)
            else:
                made[to] = data[at]
                at, to = at + 1, to + 1
        to = end
