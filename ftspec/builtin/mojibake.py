"""Mojibake found as ftfy finds it and mended as ftfy mends it, but without most of its work.

ftfy searches every line for what looks bad with a pattern of some 60 sets of characters, again after each repair, which
costs more than all the rest. Here a small pattern, PAIRS, tells where ftfy's can match at all, and the common repair
is made directly; only what is not mended by it goes to ftfy.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from ftspec.builtin.marks import ALL, Marks, Shape

COMMON = ("latin-1", "sloppy-windows-1252")
"""What ftfy tries first, in its order."""
MOST = 8
"""Times that a text may have been read wrongly for the common repair."""

PAIRS = (
    Shape("{odd}", "{odd}"),
    Shape("{lower_accented}", "{bad}{upper_accented}{box}{currency}{numeric}"),
    Shape("{lower_accented}", "{start_punctuation}{end_punctuation}", r"(?:[0-9A-Za-z_]|[^\x00-\x7f])"),
    Shape("{bad}{box}{end_punctuation}{currency}{numeric}", "{lower_accented}"),
    Shape("{lower_common}{upper_common}", "{bad}{upper_accented}"),
    Shape("{c1}Œœ"),
    Shape("ÂÃÎÐ", " \u00a0\u00ad°·–—´šž¡"),
    Shape("{box}", "{kaomoji}"),
    Shape("{upper_accented}≈", "°"),
    Shape("√", "´ø"),
    Shape("‚", "âó"),
    Shape("вВ", "Ђ"),
    Shape("β", "€"),
    Shape("ØÙ", "{common}{currency}{bad}{numeric}{start_punctuation}ŸŠ®°µ»"),
    Shape("ВГРС", "{start_punctuation}{end_punctuation}{currency}°µ", "[ВГРС]"),
    Shape("ΒΓΞΟ", "{start_punctuation}{end_punctuation}{currency}°", "[ΒΓΞΟ]"),
)
"""One of these stands in all that ftfy 6.3 finds bad, by its names of characters."""
KNOWN = 0x56BEE9B6
"""CRC-32 of the pattern that PAIRS was read from. With another one every text beyond ASCII is searched."""
ODD = ("bad", "upper_accented", "box", "start_punctuation", "end_punctuation", "currency", "numeric", "law")
REACH = 10
"""Characters beside a pair within which that is: ftfy's longest match has seven."""
PATIENCE = 50
"""Pairs in a line that are not bad, after which ftfy's pattern searches the rest of it at once."""

CONTINUED = "\x80-\xbf" + bytes([*range(0x80, 0xA0)]).decode("cp1252", "ignore")
"""What the bytes that continue a character of UTF-8 are read as, in Latin-1 and in Windows-1252."""
LOST = "\x85", "\xa0", "\xad"
"""Those of them that are white space, or not seen."""
NO_MARK = "(?![\u0300-\u036f])"
MISREAD = re.compile(
    f"[{''.join(LOST)}](?:(?<=[ÂÃÄÅÆÎÏÐÑ×ØÙÚÛ].)"
    f"|(?<=[\xe0-\xef].)(?=[{CONTINUED}]{NO_MARK})|(?<=[\xe0-\xef][{CONTINUED}].){NO_MARK}"
    f"|(?<=[\xf0-\xf4].)(?=[{CONTINUED}]{{2}}{NO_MARK})|(?<=[\xf0-\xf4][{CONTINUED}].)(?=[{CONTINUED}]{NO_MARK})"
    f"|(?<=[\xf0-\xf4][{CONTINUED}]{{2}}.){NO_MARK})"
)
"""One of LOST as the second, third or fourth byte of a misread character that is whole. Of those of two bytes, the ones
that begin as Latin, Greek, Cyrillic, Hebrew and Arabic letters do: É, Ö or ß before a soft hyphen is nothing but that.
"""
HIDDEN = {each: chr(0xDC00 + ord(each)) for each in LOST}
"""Lone surrogates, which no text has."""


def sparing(change: Callable[[str, int], str]) -> Callable[..., str]:
    """`change`, but to a no-break space, soft hyphen or U+0085 that is a byte of a misread character: the character
    could not be mended any more."""

    def spared(text: str, mark: int = ALL) -> str:
        if _may_be_misread(text):
            return _shown(change(MISREAD.sub(lambda found: HIDDEN[found[0]], text), mark))
        return change(text, mark)

    return spared


def _may_be_misread(text: str) -> bool:
    """Whether one of LOST stands behind a character beyond ASCII. Python finds one character in a tenth of the time in
    which it finds one of three."""
    for each in LOST:
        at = text.find(each)
        while at >= 0:
            if at and text[at - 1] > "\x7f":
                return True
            at = text.find(each, at + 1)
    return False


def _shown(text: str) -> str:
    for each, hidden in HIDDEN.items():
        text = text.replace(hidden, each)
    return text


@cache
def _pairs() -> list[Shape]:
    """PAIRS, of the characters that are ftfy's; none where its pattern is another one than they were made for."""
    from ftfy.badness import MOJIBAKE_CATEGORIES as CATEGORIES

    if zlib.crc32(_badness().pattern.encode()) != KNOWN:
        return []
    names = {**CATEGORIES, "odd": "".join(CATEGORIES[name] for name in ODD)}
    return [pair._replace(first=pair.first.format(**names), then=pair.then.format(**names)) for pair in PAIRS]


def suspects() -> Marks:
    """Finds every text with a line that ftfy finds bad, and few more."""
    return Marks(_pairs() or [Shape(r"^\x00-\x7f")], beyond_ascii=True)


@cache
def _suspects() -> re.Pattern[str]:
    """The same for Python, which searches fast for what begins with a set of characters."""
    heads = "".join(pair.first for pair in _pairs())
    if not heads:
        return re.compile(".+", re.DOTALL)
    rests = (f"(?<=[{pair.first}]){f'[{pair.then}]' if pair.then else ''}{pair.more}" for pair in _pairs())
    return re.compile(f"[{heads}](?:{'|'.join(rests)})")


@cache
def _badness() -> re.Pattern[str]:
    """ftfy's pattern. To import it once more takes a microsecond each time."""
    from ftfy.badness import BADNESS_RE

    pattern: re.Pattern[str] = BADNESS_RE
    return pattern


def is_bad(line: str) -> bool:
    """Whether ftfy finds a line bad."""
    badness = _badness()
    for number, found in enumerate(_suspects().finditer(line)):
        start, end = found.span()
        if number == PATIENCE:
            return bool(badness.search(line, max(0, start - REACH)))
        if badness.match(line, start) or badness.search(line, max(0, start - REACH), end + REACH):
            return True
    return False


def config(*, html: bool = False, quotes: bool = False) -> Any:
    """What ftfy is to do: fix encodings, and what is asked for."""
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html="auto" if html else False,
        uncurl_quotes=quotes,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


def by_ftfy(text: str, config: Any) -> str:
    import ftfy

    return str(ftfy.fix_text(text, config))


def mended(text: str, mark: int = ALL, *, config: Any) -> str:
    """`by_ftfy`, where the config does nothing but fix encodings. ftfy goes by lines, and cuts those that are longer
    than it likes."""
    if text.isascii():
        return text
    if len(text) > config.max_decode_length:
        return by_ftfy(text, config)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text) if "\n" in text else [text]
    return "".join([_mended_line(line, config) for line in lines])


def _mended_line(line: str, config: Any) -> str:
    """The common repair, again and again as ftfy does it, until the line is not bad any more."""
    for _ in range(MOST):
        if line.isascii() or not is_bad(line):
            return line
        repaired = _repaired(line)
        if repaired is None:
            break
        line = repaired
    return by_ftfy(line, config)


def _repaired(line: str) -> str | None:
    """ftfy takes the first encoding that can hold the line and whose bytes are UTF-8; None where it is none of these.

    Bytes that are UTF-8 have none of the gaps that ftfy fills before it decodes: those are cut sequences, or the
    substitute U+001A.
    """
    if "\x1a" in line or "\ufffd" in line:
        return None
    for encoding in COMMON:
        try:
            return line.encode(encoding).decode()
        except UnicodeError:
            continue
    return None
