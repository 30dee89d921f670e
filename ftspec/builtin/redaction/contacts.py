"""Where people can be reached: e-mail and network addresses, telephone numbers."""

from __future__ import annotations

import ipaddress
import re

from ftspec.builtin.redaction.entities import Entity, digits, matches, numbers

EMAIL = re.compile(r"(?<![\w.+-])[\w.+%'-]*[\w+%-]@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])")
ADDRESS = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]))"
)
VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver\.?|\bversions?|\brelease|\bbuild|\bsection|\bchapter|§)[ :=]*$", re.IGNORECASE
)


def _is_address(match: re.Match[str]) -> bool:
    """A valid address that is not announced as a version or a section, and not C++'s `::`."""
    text = match[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6:
        return sum(map(bool, text.split(":"))) > 1 and any(character.isdigit() for character in text)
    return not VERSION_BEFORE.search(match.string, max(0, match.start() - 16), match.start())


DATE = re.compile(
    r"(?:(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:19|20)\d\d)(?:[ T]+\d\d?)?"
)
GROUPED = re.compile(
    r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}"  # North America: (212) 555-0123
    r"|\(?0\d{1,4}\)?[ /-](?:\(0\))?\d{2,8}(?:[ .-]\d{2,8}){0,4}"  # national, area code with its 0: 030 1234567
    r"|0\d(?:[ .-]\d\d){4}"  # pairs: 06 12 34 56 78
    r"|0\d{9,10}"  # national, written in one go
)
ANNOUNCED = re.compile(
    r"\b(?:tele)?(?:phone|fon|fax|mobile|mobil|cell|whatsapp|tel|call|ring|text|sms|dial)\b"
    r"(?:[ .:#]|\b(?:me|us|him|her|them|back|at|on|is|number|no|nr|under|unter)\b){0,8}$",
    re.IGNORECASE,
)


PHONE = re.compile(
    r"(?<![\w.,/+-])(?:\(?\+\(?)?\(?\d(?:[ ./()-]{0,2}\d){6,14}"
    r"(?:[ ,]*(?:x|ext\.?|extension)[ .:]*\d{1,6})?(?![\w-]|[.,]\d)"
)


def _is_phone(match: re.Match[str]) -> bool:
    """International (`+`), grouped as phone numbers are, or announced by a word such as "call me at"."""
    text = EXTENSION.sub("", match[0])
    count = len(digits(text))
    if not 7 <= count <= 15 or DATE.fullmatch(text):
        return False
    if text.startswith(("+", "(+")):
        return count >= 8
    if GROUPED.fullmatch(text):
        return 9 <= count <= 13
    return bool(ANNOUNCED.search(match.string, max(0, match.start() - 40), match.start()))


EXTENSION = re.compile(r"[ ,]*(?:x|ext\.?|extension)[ .:]*\d{1,6}$")
ENTITIES: dict[str, Entity] = {
    "email": Entity("@", matches(EMAIL, lambda match: True)),
    "ip": Entity(r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f:]*:|::", numbers(ADDRESS, _is_address)),
    "phone": Entity(r"\d(?:[ ./()-]{0,2}\d){6}", numbers(PHONE, _is_phone)),
}
