"""Personal data out of texts, placeholders in. Patterns look for the shape, then a function looks twice.

Precision matters as much as recall: a date that becomes [PHONE] teaches a model nonsense. So a card number must pass
the Luhn check, an address must be one, and digits are only a phone number if they are written or announced as one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from ftspec import api

Name = Literal["email", "phone", "card", "ip"]


class Entity(NamedTuple):
    """`hint` is an RE2 pattern that every text with such an entity matches; `accept` looks at a match in its text."""

    hint: str
    pattern: re.Pattern[str]
    accept: Callable[[re.Match[str]], bool]


@api.text_step(private=True)
def redact(*, entities: Annotated[list[Name], Meta(min_length=1)] = ["email", "phone", "card", "ip"]) -> api.Text:
    """Replace personal data with placeholders: [EMAIL], [PHONE], [CARD], [IP]. Tool calls' arguments are covered."""
    chosen = [(name, ENTITIES[name]) for name in ENTITIES if name in entities]

    def clean(text: str) -> str:
        for name, entity in chosen:
            text = _replaced(text, entity, f"[{name.upper()}]")
        return text

    return api.Text(clean, prefilter="|".join(entity.hint for _, entity in chosen))


def _replaced(text: str, entity: Entity, placeholder: str) -> str:
    done: list[str] = []
    kept = start = 0
    while match := entity.pattern.search(text, start):
        if found := _accepted(text, entity, match):
            done += [text[kept : found.start()], placeholder]
            kept = start = found.end()
        else:
            space = text.find(" ", match.start() + 1, match.end())
            start = match.end() if space < 0 else space
    return "".join([*done, text[kept:]]) if done else text


def _accepted(text: str, entity: Entity, match: re.Match[str]) -> re.Match[str] | None:
    """The match, or what is left of it without a word or two at its end: numbers often follow numbers."""
    end = match.end()
    for _ in range(3):
        shorter = entity.pattern.match(text, match.start(), end)
        if shorter and entity.accept(shorter):
            return shorter
        end = text.rfind(" ", match.start(), end)
        if end < 0:
            break
    return None


def _digits(text: str) -> str:
    return "".join(character for character in text if character in "0123456789")


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if index % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_card(match: re.Match[str]) -> bool:
    """13 to 19 digits of a payment network (2 to 6 first), one kind of separator, and the check digit right."""
    digits = _digits(match[0])
    separators = {character for character in match[0] if character in " -"}
    return 13 <= len(digits) <= 19 and digits[0] in "23456" and len(separators) < 2 and luhn(digits)


VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver\.?|\bversions?|\brelease|\bbuild|\bsection|\bchapter|§)[ :=]*$", re.IGNORECASE
)


def _is_ip(match: re.Match[str]) -> bool:
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


def _is_phone(match: re.Match[str]) -> bool:
    """International (`+`), grouped as phone numbers are, or announced by a word such as "call me at"."""
    text = match[0]
    count = len(_digits(text))
    if not 7 <= count <= 15 or DATE.fullmatch(text):
        return False
    if text.startswith(("+", "(+")):
        return count >= 8
    if GROUPED.fullmatch(text):
        return 9 <= count <= 12
    return bool(ANNOUNCED.search(match.string, max(0, match.start() - 40), match.start()))


ENTITIES: dict[str, Entity] = {
    "email": Entity(
        "@",
        re.compile(r"(?<![\w.+-])[\w.+%-]*[\w+%-]@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])"),
        lambda match: True,
    ),
    "card": Entity(
        r"\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d",
        re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"),
        _is_card,
    ),
    "ip": Entity(
        r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f:]*:|::",
        re.compile(
            r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]))"
        ),
        _is_ip,
    ),
    "phone": Entity(
        r"\d(?:[ ./()-]{0,2}\d){6}",
        re.compile(r"(?<![\w.,/+-])(?:\(?\+\(?)?\(?\d(?:[ ./()-]{0,2}\d){6,14}(?![\w-]|[.,]\d)"),
        _is_phone,
    ),
}
"""In the order in which they are replaced: what has the clearer shape first."""


COMPONENTS: dict[str, api.Component] = {"redact": redact}
