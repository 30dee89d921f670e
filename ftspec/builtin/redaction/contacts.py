"""Where people can be reached: e-mail and network addresses, telephone numbers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ftspec.builtin.redaction.entities import (
    SEVEN_DIGITS,
    SIX_DIGITS,
    Entity,
    Span,
    digits,
    numbers,
    some_digits,
    words,
)

AT = re.compile("@")
EMAIL = re.compile(r"(?<![\w.+-])[\w.+%'-]*[\w+%-]@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])")


def _emails(text: str) -> Iterator[Span]:
    for start, end in words(AT, text):
        for match in EMAIL.finditer(text, start, end):
            yield match.span()


ADDRESS = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]))"
)
VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver\.?|\bversions?|\brelease|\bbuild|\bsection|\bchapter|§)[ :=]*$", re.IGNORECASE
)


HINT = r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]:(?::[0-9A-Fa-f]|[0-9A-Fa-f]{1,4}:)|::[0-9A-Fa-f]{1,4}:"
"""Of an IPv6 address: two groups of digits, which `_is_address` asks for, and two colons."""
GROUPS = re.compile(
    r"[.:](?:(?<=\d\.)\d{1,3}\.\d{1,3}\.\d|(?<=[0-9A-Fa-f]:)(?::[0-9A-Fa-f]|[0-9A-Fa-f]{1,4}:)|(?<=:):[0-9A-Fa-f]{1,4}:)",
    re.ASCII,
)
"""HINT for Python, which quickly finds a dot or a colon."""


def _is_address(match: re.Match[str]) -> bool:
    """A valid address that is not announced as a version or a section, and not C++'s `::`."""
    text = match[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6:
        groups = list(filter(None, text.split(":")))
        return any(map(str.isdigit, text)) and (
            len(groups) > 2 or (len(groups) > 1 and not text.replace(":", "").isdigit())
        )
    begin = max(0, match.start() - 16)
    said = match.string[begin : match.start()].rstrip(" :=\n")
    return said[-1:] not in VERSION_ENDS or not VERSION_BEFORE.search(match.string, begin, match.start())


VERSION_ENDS = frozenset("vVrR.nNsSſeEdD§")
"""The last letters of what VERSION_BEFORE finds."""


def _addresses(text: str) -> Iterator[Span]:
    for start, end in words(GROUPS, text):
        while match := ADDRESS.search(text, start, end):
            if _is_address(match):
                yield match.span()
            start = match.end()


DATE = re.compile(
    r"(?:(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:19|20)\d\d)(?:[ T]+\d\d?)?"
)
GROUPED = re.compile(
    r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"  # North America: (212) 555-0123
    r"|\(?0\d{1,4}\)?[ /-](?:\(0\))?\d{2,8}(?:[ .-]\d{2,8}){0,4}"  # national, area code with its 0: 030 1234567
    r"|\(\d{2}\) ?\d{4,5}-\d{4}"  # Brazil: (11) 91234-5678
    r"|0\d(?:[ .-]\d\d){4}"  # pairs: 06 12 34 56 78
    r"|0\d{9,10}"  # national, written in one go
)
ANNOUNCED = re.compile(
    r"(?:\b(?:(?:tele)?(?:phone|fon|foon|fax)|mobile|mobil|mobiel|cell|whatsapp|tel|call|ring|text|sms|dial|messages?|answering"
    r"|contact|reach|desk|registered|hotline|landline|t[eé]l[eé](?:fono|phone|fone)|cellulare|celular|m[óo]vil|portable|handy)\b"
    r"|电话|手机|電話|携帯|전화)"
    r"(?:[ .:#=\"'(]|\b(?:[^\W\d_]{1,4}|number|under|unter)\b){0,12}$",
    re.IGNORECASE,
)
STEMS = (
    "phone", "fon", "foon", "fax", "mobil", "cell", "whatsapp", "tel", "tél", "call", "ring", "text", "sms", "dial",
    "message", "answering", "contact", "reach", "desk", "registered", "hotline", "landline", "celular", "móvil",
    "movil", "portable", "handy", "电话", "手机", "電話", "携帯", "전화",
)  # fmt: skip
"""One of these stands in whatever ANNOUNCED matches: most numbers in prose are told by that not to be announced."""
NAMED_AFTER = re.compile(
    r"[ ,]{0,2}[-(]? ?(?:is (?:my|his|her|their|our|the) )?(?:(?:tele)?phone|mobile|cell|fax|tel|office|home|work)\b",
    re.IGNORECASE,
)
OTHERWISE = re.compile(
    r"\b(?:invoice|order|ticket|sku|ref(?:erence)?|article|part|isbn|case|serial|tracking|rechnung|factura|facture|id)\b"
    r"(?:[ .:#=]|\b(?:number|no|nr)\b){0,4}$",
    re.IGNORECASE,
)
"""What says that a number grouped like a telephone number is another one."""
PHONE = re.compile(
    r"(?<![\w./+-])(?<!\d,)(?:\(?\+\(?)?(?:\((?=[\d ]{1,6}\)))?\d"
    + r"[ ./()-]{0,2}\d" * 6
    + r"(?:[ ./()-]{0,2}\d){0,8}"
    r"(?:[ ,]*(?:x|ext\.?|extension)[ .:]*\d{1,6})?(?!\w|-\d|[.,]\d)"
)


BEGIN = r"\d(?<![\w./-]\d)" + r"[ ./()-]{0,2}\d" * 6
LEAD, ASCII_LEAD = re.compile(BEGIN), re.compile(BEGIN, re.ASCII)


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
    count = len(digits(text))
    if not 7 <= count <= 15 or (count <= 10 and DATE.fullmatch(text)) or text == "0123456789":
        return False
    if text.startswith(("+", "(+")):
        return count >= 8
    if text.startswith("00") and count >= 10 and not text.isdigit():
        return True
    if GROUPED.fullmatch(text) and 9 <= count <= 13:
        return not OTHERWISE.search(match.string, max(0, match.start() - 24), match.start())
    return _announced(match.string, match.start()) or bool(NAMED_AFTER.match(match.string, match.end()))


def _announced(text: str, start: int) -> bool:
    begin = max(0, start - 40)
    said = text[begin:start]
    if not said.rstrip(" .:#=\"'(\n")[-1:].isalnum():
        return False
    # As IGNORECASE compares: Turkish i's, with and without a dot, are i's.
    said = said.lower() if said.isascii() else said.casefold().replace("i\u0307", "i").replace("\u0131", "i")
    for stem in STEMS:  # any() takes twice the time
        if stem in said:
            return bool(ANNOUNCED.search(text, begin, start))
    return False


EXTENSION = re.compile(r"[ ,]*(?:x|ext\.?|extension)[ .:]*\d{1,6}$")


def has_at(text: str) -> bool:
    return "@" in text


ENTITIES: dict[str, Entity] = {
    "email": Entity(r"@[^\s@]+\.\S", _emails, has_at),
    "ip": Entity(HINT, _addresses, GROUPS.search),
    "phone": Entity(SEVEN_DIGITS, numbers(PHONE, _is_phone, _next_phone), some_digits, SIX_DIGITS),
}
