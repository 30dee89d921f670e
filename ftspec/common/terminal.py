"""Text for a terminal: masked, escaped, in colour only where that is wanted; tables.

Data goes to standard output, everything else (progress, notes, errors) to standard error, so that piping is safe.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TextIO

from ftspec.common.streams import named

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
PLAIN = str.maketrans(
    {
        "→": "->",
        "✓": "+",
        "✗": "x",
        "·": "-",
        "…": "...",
        "━": "#",
        "─": "-",
        "±": "+-",
        "≥": ">=",
        "⟦": "[[",
        "⟧": "]]",
    }
)
LINES = 1000
"""Lines that are written at once, where there are many."""
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def say(text: str = "", *, err: bool = False) -> None:
    """Write a line: secrets masked, and spelled in ASCII where the stream cannot take the characters we use."""
    write(text + "\n", sys.stderr if err else sys.stdout)


def say_all(lines: Iterable[str]) -> None:
    """Write many lines, LINES at a time: looking for secrets and flushing take longer than a line does."""
    given = iter(lines)
    while some := list(islice(given, LINES)):
        say("\n".join(some))


def write(text: str, stream: TextIO) -> None:
    """Write text as it is but for secrets, which are masked, and characters that the stream cannot take."""
    # Imported late: `ftspec --version` shows nothing that needs a mask, and msgspec takes half of its time.
    from ftspec.common.references import mask

    bare: TextIO = getattr(stream, "unmasked", stream)  # ours masks what others write (ftspec.common.streams)
    if bare is not stream:
        stream.flush()  # what they have begun
    with named(bare):
        bare.write(spell(mask(text), stream))
        stream.flush()


def spell(text: str, stream: TextIO) -> str:
    """The text as the stream's encoding can hold it."""
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def colourful(stream: TextIO) -> bool:
    """Whether to use colour: never with NO_COLOR, always with FORCE_COLOR, else on a terminal that can."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return interactive(stream)


def interactive(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move its cursor."""
    return not stream.closed and stream.isatty() and os.environ.get("TERM") != "dumb"


def style(text: str, *names: str, err: bool = False) -> str:
    """The text in the styles named, or as it is where there is no colour."""
    if not text or not colourful(sys.stderr if err else sys.stdout):
        return text
    return f"\x1b[{';'.join(STYLES[name] for name in names)}m{text}\x1b[0m"


def safe(text: str) -> str:
    """Untrusted text with control and invisible characters spelled out, so that data cannot drive a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in INVISIBLE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def one_line(text: str, width: int = 100) -> str:
    """Untrusted text on one line of at most `width` columns."""
    return clip(safe(" ".join(text.split())), width)


def width(text: str) -> int:
    """Columns that the text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, columns: int) -> str:
    """The text with blanks behind it up to `columns`, as it is where it takes more."""
    return text + " " * (columns - width(text))


def clip(text: str, columns: int) -> str:
    """The text cut to `columns`, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    kept, used = "", 0
    for character in text:
        used += _columns(character)
        if used > columns - 1:
            break
        kept += character
    return kept + "…"


def table(rows: Iterable[Sequence[str]], headers: Sequence[str], *, right: Sequence[int] = ()) -> str:
    """Aligned columns under headers; the columns numbered in `right` are aligned to the right."""
    grid = [list(headers), *([safe(cell).replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*grid, strict=True)]
    lines = [_row(cells, widths, right) for cells in grid]
    return "\n".join([style(lines[0], "bold"), *lines[1:]])


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    aligned = []
    for index, (cell, columns) in enumerate(zip(cells, widths, strict=True)):
        gap = " " * (columns - width(cell))
        aligned.append(gap + cell if index in right else padded(cell, columns))
    return "  ".join(aligned).rstrip()
