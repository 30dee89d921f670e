"""Mojibake mended as ftfy mends it, but without most of its work.

ftfy searches every line for what looks bad again after each repair, which costs more than all the rest. Here the
common repair is made directly, and one RE2 pattern over all results tells which of them ftfy must see.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ftspec import rows

if TYPE_CHECKING:
    import pyarrow as pa

WIDER = {r"\s": r"\s\pZ\x0b\x1c-\x1f\x85", r"\w": r"\pL\pN\pM_"}

COMMON = ("latin-1", "sloppy-windows-1252")
"""What ftfy tries first, in its order."""


def suspicious() -> str:
    """An RE2 pattern that finds every text with a line that ftfy finds bad."""
    from ftfy.badness import BADNESS_RE

    return f"(?m:{_plain_pattern(BADNESS_RE.pattern)})"


def _plain_pattern(verbose: str) -> str:
    r"""A verbose pattern of Python's in RE2's words: no comments, no white space, and \s and \w of all Unicode.

    It finds all that Python finds, and perhaps a little more.
    """
    done: list[str] = []
    inside = False
    for part in re.findall(r"\\.|#[^\n]*|.", verbose, re.DOTALL):
        if part in WIDER:
            done.append(WIDER[part] if inside else f"[{WIDER[part]}]")
        elif inside or not (part.isspace() or part.startswith("#")):
            done.append(part)
        inside = part != "]" if inside else part == "["
    return "".join(done)


def mend(texts: pa.Array, config: Any) -> pa.Array:
    """`ftfy.fix_text(text, config)` of every text, where the config does nothing but fix encodings."""
    import ftfy
    import pyarrow.compute as pc

    before = texts.to_pylist()
    after = rows.strings([quick(text, config.max_decode_length) for text in before])
    bad = pc.fill_null(pc.match_substring_regex(after, suspicious()), rows.scalar(True))
    if not pc.any(bad).as_py():
        return after
    slow = [ftfy.fix_text(before[place], config) for place in pc.indices_nonzero(bad).to_pylist()]
    return pc.replace_with_mask(after, bad, rows.strings(slow))


def quick(text: str, longest: int) -> str | None:
    """What ftfy's first repair of every line makes; None where that is not plain.

    It is what ftfy makes of the text unless a line of it still looks bad: then ftfy would go on. `longest` is the
    number of characters beyond which ftfy cuts lines.
    """
    if len(text) > longest or "\x1a" in text or "\ufffd" in text:
        return None
    lines = [_line(line) for line in re.findall(r"[^\n]*\n|[^\n]+", text)]
    return None if None in lines else "".join(line for line in lines if line is not None)


def _line(line: str) -> str | None:
    """ftfy takes the first encoding that can hold the line and whose bytes are UTF-8.

    Bytes that are UTF-8 have none of the gaps that ftfy fills before it decodes: those are cut sequences, or the
    substitute U+001A, which does not come here.
    """
    from ftfy.badness import is_bad

    if line.isascii() or not is_bad(line):
        return line
    for encoding in COMMON:
        try:
            return line.encode(encoding).decode()
        except UnicodeError:
            continue
    return None
