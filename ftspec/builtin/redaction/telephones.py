"""Telephone numbers: what looks like one, and what beside it says that it is one."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from ftspec import rows
from ftspec.builtin.redaction.entities import TURKISH_I, Entity, Later, Pattern, count_digits, numbers, some_digits
from ftspec.builtin.redaction.numerals import signs
from ftspec.builtin.spaced import SPACED
from ftspec.compiled import entitykernels

if TYPE_CHECKING:
    from ftspec.builtin.redaction.numerals import Numbers, Numerals

DATE = Later(
    r"(?:(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:19|20)\d\d)(?:[ T]+\d\d?)?"
)
GROUPED = Later(
    r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"  # North America: (212) 555-0123
    r"|\(?0\d{1,4}\)?[ /-](?:\(0\))?\d{2,8}(?:[ .-]\d{2,8}){0,4}"  # national, area code with its 0: 030 1234567
    r"|\(\d{2}\) ?\d{4,5}-\d{4}"  # Brazil: (11) 91234-5678
    r"|0\d(?:[ .-]\d\d){4}"  # pairs: 06 12 34 56 78
    r"|0\d{9,10}"  # national, written in one go
)
ANNOUNCED = Later(
    r"(?:\b(?:(?:tele)?(?:phone|fon|foon|fax)|mobile|mobil|mobiel|cell|whatsapp|tel|call|ring|text|sms|dial|messages?|answering"
    r"|contact|reach|desk|registered|hotline|landline|t[eé]l[eé](?:fono|phone|fone)|cellulare|celular|m[óo]vil|portable|handy)\b"
    r"|电话|手机|電話|携帯|전화)"
    r"(?:(?:[ .:#=\"'(]|\b(?:[^\W\d_]{1,4}|number|under|unter)\b){0,12}|(?<=电话|手机|電話|携帯|전화)[^\d\n]{0,8})$",
    re.IGNORECASE,
)
STEMS = (
    "phone", "fon", "foon", "fax", "mobil", "cel", "whatsapp", "tel", "call", "ring", "text", "sms", "dial", "message",
    "contact", "reach", "desk", "registered", "line", "movil", "portable", "handy",
)  # fmt: skip
ALL_STEMS = (*STEMS, "tél", "móvil", "电话", "手机", "電話", "携帯", "전화")
STEM = f"(?i:{'|'.join(ALL_STEMS).replace('i', TURKISH_I)})"
"""For RE2: one of them, as IGNORECASE compares."""
"""One of these stands in whatever ANNOUNCED matches: most numbers in prose are told by that not to be announced."""
JOINTS = " .:#=\"'(\n"
"""What may stand between an announcement and the number, beside words."""
REACH = entitykernels.REACH
"""Characters before a number in which it is announced."""
NAMED = r"[ ,]{0,2}[-(]? ?(?:is (?:my|his|her|their|our|the) )?(?:(?:tele)?phone|mobile|cell|fax|tel|office|home|work)"
NAMES = ("phone", "mobile", "cell", "fax", "tel", "office", "home", "work")
"""One of these stands in whatever NAMED matches."""
NAMED_AFTER = Later(rf"{NAMED}\b", re.IGNORECASE)
NAMED_FIRST = frozenset("tpmcfohwiTPMCFOHWIİı")
"""What NAMED begins with, behind its signs."""
OTHERWISE = Later(
    r"\b(?:invoice|order|ticket|sku|ref(?:erence)?|article|part|isbn|case|serial|tracking|rechnung|factura|facture|id)\b"
    r"(?:[ .:#=]|\b(?:number|no|nr)\b){0,4}$",
    re.IGNORECASE,
)
"""What says that a number grouped like a telephone number is another one."""
PHONE: Pattern = Later(
    rf"(?<!{SPACED})(?<![./+-])"
    r"(?:\(?\+\(?)?(?:\((?=[\d ]{1,6}\)))?\d" + r"[ ./()-]{0,2}\d" * 6 + r"(?:[ ./()-]{0,2}\d){0,8}"
    rf"(?:[ ,]*(?:x|ext\.?|extension)[ .:]*\d{{1,6}})?(?!{SPACED}|-\d|\.\d)"
)


MORE = r"(?<![./-]\d)" + r"[ ./()-]{0,2}\d" * 6
LEAD, ASCII_LEAD = Later(rf"\d(?<!{SPACED}\d){MORE}"), Later(rf"\d(?<!\w\d){MORE}", re.ASCII)


def _next_phone(text: str, start: int) -> re.Match[str] | None:
    """`PHONE.search(text, start)`, which would try its look-behinds at every character.

    Seven digits are looked for first: a match begins with them, or with the signs right before them, and nowhere within
    a word or a number.
    """
    at = start
    search = (ASCII_LEAD if text.isascii() else LEAD).search
    while lead := search(text, at):
        digit = first = lead.start()
        while first > start and text[first - 1] in "(+":
            first -= 1
        for place in range(first, digit + 1):
            if match := PHONE.match(text, place):
                return match
        at = digit + 1
    return None


def _is_phone(match: re.Match[str]) -> bool:
    """International (`+`), grouped as phone numbers are, or announced by a word such as "call me at"."""
    text = match[0]
    if not text.isascii() and not some_digits(match.string):
        return False
    if "x" in text:
        text = EXTENSION.sub("", text)
    count = count_digits(text)
    if text.startswith(("+", "(+")):
        return 8 <= count <= 15
    if not 7 <= count <= 15 or (count <= 10 and DATE.fullmatch(text)) or text == "0123456789":
        return False
    grouped = GROUPED.fullmatch(text)
    if not grouped and _is_part(match):
        return False
    if text.startswith("00") and count >= 10 and not text.isdigit():
        return True
    if grouped and 9 <= count <= 13:
        return not OTHERWISE.search(match.string, max(0, match.start() - 24), match.start())
    return _announced(match.string, match.start()) or _is_named(match.string, match.end())


def _is_part(match: re.Match[str]) -> bool:
    """Whether a comma and digits stand beside the number, as in an amount."""
    text, (start, end) = match.string, match.span()
    return (text[start - 1 : start] == "," and text[max(0, start - 2) : start - 1].isdigit()) or (
        text[end : end + 1] == "," and text[end + 1 : end + 2].isdigit()
    )


def _is_named(text: str, end: int) -> bool:
    """Whether a word says what the number before it is: in most texts its first letter says that it does not."""
    return text[end : end + 5].lstrip(" ,-(")[:1] in NAMED_FIRST and bool(NAMED_AFTER.match(text, end))


def _announced(text: str, start: int) -> bool:
    begin = max(0, start - REACH)
    return _has_stem(text[begin:start]) and bool(ANNOUNCED.search(text, begin, start))


def _has_stem(said: str) -> bool:
    """Whether what stands before a number may announce it."""
    last = said.rstrip(JOINTS)[-1:]
    if not last.isalnum() and last.isascii():
        return False
    # As IGNORECASE compares: Turkish i's, with and without a dot, are i's.
    said = said.lower() if said.isascii() else said.casefold().replace("i\u0307", "i").replace("\u0131", "i")
    for stem in STEMS if said.isascii() else ALL_STEMS:  # any() takes twice the time
        if stem in said:
            break
    else:
        return False
    return True


EXTENSION = Later(r"[ ,]*(?:x|ext\.?|extension)[ .:]*\d{1,6}$")


OPEN, EDGE = "+(", "_./-"
"""What says before a digit that a number begins there, and what says that none does."""
BETWEEN = " ./()-"
"""What may stand between two digits, two of it at most."""
MOST = 15
"""Digits of a number (ITU-T E.164)."""
LATER = rf"\d(?i:{NAMED.replace('i', TURKISH_I)})|[^\P{{Nd}}0-9]"
"""For RE2: that a number is named after it, or a digit beyond ASCII, of which no more is asked."""


def _may_have(numerals: Numerals) -> Numbers:
    """The places of the texts that may have a number: see `_is_phone`, which takes it for one of these reasons."""
    import numpy as np

    seven = numerals.series(7, BETWEEN, 2)
    seven = seven[numerals.gaps[seven - 1] != 1]
    left: Numbers = np.zeros(len(numerals.texts), dtype=np.bool_)
    left[numerals.places(seven)] = True
    leads = seven[_stands_alone(numerals, seven)]
    found = numerals.places(leads[_is_written_as_one(numerals, leads)])
    left[found] = False
    told = numerals.places(_announced_ones(numerals, leads[left[numerals.places(leads)]]))
    left[told] = False
    made: Numbers = np.concatenate([found, told, numerals.matching(LATER, np.flatnonzero(left))])
    return made


def _stands_alone(numerals: Numerals, digits: Numbers) -> Numbers:
    """Whether no word or number goes on there, and the number may end after MOST digits."""
    import numpy as np

    ends = np.flatnonzero(numerals.gaps[: len(numerals.at)] != 1)
    end = ends[np.searchsorted(ends, digits + 6)]
    alone: Numbers = ~signs(string.digits + string.ascii_letters + EDGE)[numerals.before(digits)] & (
        end - digits < MOST
    )
    return alone


def _is_written_as_one(numerals: Numerals, digits: Numbers) -> Numbers:
    """Whether it begins with a +, a bracket or 0, or has the groups of North America: (212) 555-0123."""
    begins: Numbers = signs(OPEN)[numerals.before(digits)]
    begins |= (numerals.after(digits, 0) == ord("0")) & (numerals.gaps[digits] == 1)
    begins |= _is_american(numerals, digits) | _is_american(numerals, digits + 1)
    return begins


def _is_american(numerals: Numerals, digits: Numbers) -> Numbers:
    gaps = numerals.gaps
    grouped: Numbers = (gaps[digits + 2] > 1) & (gaps[digits + 5] == 2)
    for within in (0, 1, 3, 4, 6, 7, 8):
        grouped &= gaps[digits + within] == 1
    return grouped


def _announced_ones(numerals: Numerals, digits: Numbers) -> Numbers:
    """Those before which one of ALL_STEMS stands; before JOINTS there must be a letter."""
    import numpy as np
    import pyarrow.compute as pc

    joints = signs(JOINTS)
    back: Numbers = np.ones(len(digits), dtype=np.int64)
    for _ in range(6):
        back += joints[numerals.before(digits, back)]
    before = numerals.before(digits, back)
    digits = digits[signs(string.ascii_letters + JOINTS)[before] | (before >= 0x80)]
    said = numerals.said(digits, REACH)
    if not (narrow := rows.as_numpy(pc.string_is_ascii(said))).all():
        # A character beyond ASCII has four bytes at most.
        said = numerals.said(digits, np.where(narrow, REACH, 4 * REACH))
    told: Numbers = digits[rows.as_numpy(pc.match_substring_regex(said, STEM))]
    return told


ENTITIES: dict[str, Entity] = {
    "phone": Entity(
        _may_have,
        numbers(PHONE, _is_phone, _next_phone),
        some_digits,
        telling=entitykernels.PHONE,
    ),
}
