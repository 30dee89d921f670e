"""Which of several shapes are found in which texts: a step's prefilter that says what there is to do, too.

RE2 tells in which texts any of them is; machine code (the extra `fast`), once it is there, which of them is in which
text, in a third of the time. Steps do the same with either: a mark may say more than there is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from ftspec import compiled, rows
from ftspec.compiled import characters, native, scankernels

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MARK = r"\pM"
"""In a set: Unicode's marks. Python has no name for them."""
CODE = ["ftspec.builtin.marks", *compiled.CODE]
"""Of steps with a prefilter from here."""
ALL = -1
"""The mark of a text of which nothing is known: it may have every shape."""


class Shape(NamedTuple):
    """One character of the set `first`, then one of the set `then` (if that is not ""; with `ends` also the end of the
    text), then what the pattern `more` finds. Sets are written as Python writes them between brackets, with MARK.
    """

    first: str
    then: str = ""
    more: str = ""
    ends: bool = False

    @property
    def pattern(self) -> str:
        """For RE2."""
        then = f"[{self.then}]" if self.then else ""
        if self.ends:
            then = rf"(?:{then}|\z)"
        return _re2(f"[{self.first}]{then}{self.more}")


def _re2(pattern: str) -> str:
    r"""RE2 writes a character by its number as \x{...}."""
    return re.sub(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", lambda match: rf"\x{{{match[1] or match[2]}}}", pattern)


class Tables(NamedTuple):
    """What `scankernels.marks` asks of characters."""

    begins: NDArray[np.uint32]
    follows: NDArray[np.uint32]
    single: int
    ends: int
    skips: bool


class Marks:
    """Of each text with one of the shapes its mark: bit k is set where shape k may be.

    With `beyond_ascii` no shape begins with a character of ASCII.
    """

    def __init__(self, shapes: Sequence[Shape], *, beyond_ascii: bool = False) -> None:
        self.shapes, self.beyond_ascii = shapes, beyond_ascii

    @cached_property
    def pattern(self) -> str:
        return "|".join(shape.pattern for shape in self.shapes)

    @cached_property
    def tables(self) -> Tables:
        return tables(self.shapes)

    @cached_property
    def open(self) -> np.uint32:
        """The bits of shapes of which machine code asks only for the beginning."""
        import numpy as np

        return np.uint32(sum(1 << bit for bit, shape in enumerate(self.shapes) if shape.more))

    def __call__(self, texts: pa.Array) -> dict[int, int]:
        kernels = native.loaded(texts.nbytes // native.SEARCHED)
        return self.by_machine(kernels, texts) if kernels else dict.fromkeys(self.by_pattern(texts), ALL)

    def by_pattern(self, texts: pa.Array) -> list[int]:
        """The places of the texts in which a shape is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self.beyond_ascii:
            found: list[int] = pc.indices_nonzero(pc.match_substring_regex(texts, self.pattern)).to_pylist()
            return found
        beyond = pc.indices_nonzero(pc.invert(pc.string_is_ascii(texts)))
        here = pc.match_substring_regex(texts.take(beyond), self.pattern)
        within: list[int] = beyond.filter(here).cast(pa.int64()).to_pylist()
        return within

    def by_machine(self, kernels: native.Native, texts: pa.Array) -> dict[int, int]:
        """The texts in which a shape may be, each with its mark."""
        import numpy as np
        import pyarrow.compute as pc

        marks = kernels.marks(*native.laid_out(texts), *self.tables, self.beyond_ascii)
        if texts.null_count:
            marks[rows.as_numpy(texts.is_null())] = 0
        if len(unsure := np.flatnonzero((marks & self.open != 0) & (marks & ~self.open == 0))):
            more = "|".join(shape.pattern for shape in self.shapes if shape.more)
            here = pc.match_substring_regex(texts.take(rows.from_numpy(unsure)), more)
            marks[unsure[~rows.as_numpy(here)]] = 0
        found = np.flatnonzero(marks)
        return dict(zip(found.tolist(), marks[found].tolist(), strict=True))


def tables(shapes: Sequence[Shape]) -> Tables:
    """Bit k of what `begins` is set for the first character of shape k, of what `follows` for the second; all for
    those of scankernels.OTHERS. A shape of one character is begun by all, and follows."""
    import numpy as np

    begins: NDArray[np.uint32] = np.zeros(scankernels.OTHERS + 1, np.uint32)
    follows = np.zeros_like(begins)
    single = ends = 0
    for bit, shape in enumerate(shapes):
        mark = np.uint32(1 << bit)
        if shape.then:
            begins[members(shape.first)] |= mark
            follows[members(shape.then)] |= mark
            ends |= int(mark) if shape.ends else 0
        else:
            begins |= mark
            follows[members(shape.first)] |= mark
            single |= int(mark)
    begins[-1] = follows[-1] = (1 << len(shapes)) - 1
    return Tables(begins, follows, single, ends, _skips(begins, follows))


def _skips(begins: NDArray[np.uint32], follows: NDArray[np.uint32]) -> bool:
    """Whether there are no bits where `scankernels.next_odd` finds nothing: for a visible character behind whatever,
    nor for a space behind a visible one."""
    import numpy as np

    visible, apart = slice(0x21, 0x7F), [ord(" ")]
    bits = [np.bitwise_or.reduce(each) for each in (begins, follows[visible], begins[visible], follows[apart])]
    return not (bits[0] & bits[1] or bits[2] & bits[3])


def members(characters: str) -> NDArray[np.bool_]:
    """Of each code point up to scankernels.OTHERS whether it is in a set; what is beyond counts as that."""
    import numpy as np

    made: NDArray[np.bool_] = np.zeros(scankernels.OTHERS + 1, np.bool_)
    for first, last in ELEMENT.findall(characters.removeprefix("^")):
        if first == MARK:
            made[:-1] |= _marks()
        else:
            made[_code(first) : _code(last or first) + 1] = True
    return ~made if characters.startswith("^") else made


ELEMENT = re.compile(r"(\\pM|\\u....|\\U.{8}|\\x..|\\.|[^\\])(?:-(\\u....|\\U.{8}|\\x..|[^\\]))?", re.DOTALL)


def _code(character: str) -> int:
    """The code point of what stands for a character in a set."""
    if character[0] != "\\":
        return ord(character)
    return {"n": 0x0A, "r": 0x0D, "t": 0x09}.get(character[1]) or int(character[2:], 16)


@cache
def _marks() -> NDArray[np.bool_]:
    """Of each code point below scankernels.OTHERS whether it is of Unicode's category M."""
    import numpy as np

    names = np.frombuffer(characters.categories(), np.uint8)
    marks: NDArray[np.bool_] = names[: 2 * scankernels.OTHERS : 2] == ord("M")
    return marks
