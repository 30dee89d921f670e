"""Where the digits of many texts stand: NumPy sees all their bytes at once, in a third of the time that RE2 takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec import rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Numbers = np.ndarray[Any, Any]
    """Integers or booleans, one dimension."""

PATIENCE = 64
"""Gaps of 0 behind the last one: whoever asks for the gaps after a digit need not ask whether there are any."""


def signs(characters: str) -> Numbers:
    """Of each byte whether it is one of these ASCII characters."""
    import numpy as np

    table: Numbers = np.zeros(256, dtype=np.bool_)
    table[list(characters.encode())] = True
    return table


class Numerals:
    """The ASCII digits of an array of texts (of type string; nulls have none). A digit is named by its number.

    `bytes`: the UTF-8 bytes of all texts; `starts`: where each text begins, and the last one ends; `at`: where each
    digit stands; `gaps`: bytes from each digit to the next one of its text, 0 where there is none.
    """

    def __init__(self, texts: pa.Array) -> None:
        import numpy as np

        self.texts = texts
        _, offsets, data = texts.buffers()
        self.starts = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
        self.bytes = np.frombuffer(data or b"", dtype=np.uint8)[: self.starts[-1]]
        self.at: Numbers = np.flatnonzero(self.bytes[self.starts[0] :] - ord("0") < 10)
        self.at += int(self.starts[0])
        self.gaps: Numbers = np.zeros(len(self.at) + PATIENCE, dtype=np.int32)
        self.gaps[: max(0, len(self.at) - 1)] = np.diff(self.at)
        self.gaps[np.searchsorted(self.at, self.starts) - 1] = 0
        self._wide = {width: np.flatnonzero(self.gaps == width) for width in (2, 3)}

    def places(self, digits: Numbers) -> Numbers:
        """Of each of the digits the place of its text."""
        following: Numbers = self.starts.searchsorted(self.at[digits], side="right")
        return following - 1

    def before(self, digits: Numbers, count: int | Numbers = 1) -> Numbers:
        """The byte so many before each digit; 0 where its text does not reach so far."""
        import numpy as np

        there: Numbers = self.at[digits] - count
        inside = there >= self.starts[self.places(digits)]
        made: Numbers = np.where(inside, self.bytes[np.maximum(there, 0)], 0)
        return made

    def after(self, digits: Numbers, count: int | Numbers = 1) -> Numbers:
        """The byte so many after each digit, even if it is the next text's; 0 behind the last one."""
        import numpy as np

        there: Numbers = self.at[digits] + count
        last = len(self.bytes) - 1
        made: Numbers = np.where(there <= last, self.bytes[np.minimum(there, last)], 0)
        return made

    def behind(self, characters: str) -> Numbers:
        """The digits right behind one of these ASCII characters."""
        import numpy as np

        digits: Numbers = np.flatnonzero(signs(characters)[self.bytes[self.at - 1]])
        inside: Numbers = self.at[digits] > self.starts[self.places(digits)]
        return digits[inside]

    def series(self, count: int, between: str, most: int) -> Numbers:
        """The digits that begin `count` digits with at most `most` (1 or 2) of the signs `between` each two."""
        import numpy as np

        table = signs(between)
        linked = self.gaps[: len(self.at)] == 1
        for width, here in list(self._wide.items())[:most]:
            fits = table[self.after(here)]
            if width == 3:
                fits &= table[self.after(here, 2)]
            linked[here[fits]] = True
        seen: Numbers = np.zeros(len(linked) + 1, dtype=np.int32)
        np.cumsum(linked, out=seen[1:])
        return np.flatnonzero(seen[count - 1 : -1] - seen[:-count] == count - 1)

    def dotted(self) -> Numbers:
        """The digits that begin `1.23.45.6`: three dots, with one to three digits between each two."""
        dots = self._wide[2]
        dots = dots[self.after(dots) == ord(".")]
        digits = dots[1:] - dots[:-1]
        near = (digits <= 3) & (self.at[dots[1:]] - self.at[dots[:-1]] == digits + 1)
        begin: Numbers = dots[:-2][near[:-1] & near[1:]]
        return begin

    def said(self, digits: Numbers, most: int | Numbers) -> pa.Array:
        """What stands before each of the digits, at most so many bytes: the first character may be cut."""
        import numpy as np
        import pyarrow as pa

        ends = self.at[digits]
        starts = np.maximum(self.starts[self.places(digits)], ends - most)
        bounds: Numbers = np.zeros(len(digits) + 1, dtype=np.int32)
        np.cumsum(ends - starts, out=bounds[1:])
        where = np.repeat(starts - bounds[:-1], ends - starts) + np.arange(bounds[-1])
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(self.bytes[where])]
        return pa.Array.from_buffers(pa.string(), len(digits), buffers)

    def matching(self, pattern: str, places: Numbers | None = None) -> Numbers:
        """The places of those texts, of all or of the ones at `places`, that match an RE2 pattern."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = self.texts
        if places is not None:
            texts = texts.take(rows.from_numpy(places))
        here: Numbers = rows.as_numpy(pc.indices_nonzero(pc.match_substring_regex(texts, pattern)).cast(pa.int64()))
        return here if places is None else places[here]
