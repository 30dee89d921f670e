"""Numbers of payment cards and bank accounts."""

from __future__ import annotations

import re
from functools import cache
from string import ascii_letters, ascii_uppercase, digits
from typing import TYPE_CHECKING

from ftspec.builtin.redaction.entities import Entity, Later, Pattern, announced, free, many_digits, numbers
from ftspec.builtin.redaction.numerals import signs
from ftspec.builtin.spaced import SPACED
from ftspec.compiled import entitykernels

if TYPE_CHECKING:
    from ftspec.builtin.redaction.numerals import Numbers, Numerals

NETWORKS: tuple[tuple[str, tuple[int, ...]], ...] = (
    (r"4", (13, 16, 19)),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    (r"3[47]", (15,)),  # American Express
    (r"30[0-5]|309|36|3[89]", (14, 16, 19)),  # Diners Club
    (r"6011|64[4-9]|65", (16, 17, 18, 19)),  # Discover
    (r"35", (16, 17, 18, 19)),  # JCB
    (r"2131|1800", (15,)),  # JCB, until 2007
    (r"62|81", (16, 17, 18, 19)),  # UnionPay
    (r"50|5[6-9]|6", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro, RuPay, Elo, Hipercard
    (r"220[0-4]", (16, 17, 18, 19)),  # Mir
)
"""First digits (ISO/IEC 7812-1 issuer identification numbers) and lengths, as the networks publish them."""


@cache
def _issuers(length: int) -> re.Pattern[str]:
    """The first digits of numbers of a length."""
    return re.compile("|".join(first for first, lengths in NETWORKS if length in lengths) or r"(?!)")


SAID = announced(r"cards?|cc|credit|debit|visa|maestro|mastercard|karte|carte|tarjeta|carta|cartão")


CARD = Later(r"\d" + r"[ -]?\d" * 11 + r"(?:[ -]?\d){0,7}", re.ASCII)
"""Twelve to nineteen digits: what is written out is searched for in half the time that a repetition takes."""


def _is_card(match: re.Match[str]) -> bool:
    """A network's first digits and length, one kind of separator, and the check digit right (Luhn).

    Under 14 digits (an EAN has 13) a word has to say that it is a card.
    """
    text = match[0]
    number = text.replace(" ", "").replace("-", "")
    plain = free(match) and not (" " in text and "-" in text) and bool(_issuers(len(number)).match(number))
    return plain and _is_luhn(number) and (len(number) > 13 or SAID(match))


def _is_luhn(number: str) -> bool:
    """Whether the digits pass Luhn's check (ISO/IEC 7812-1), as python-stdnum says too, in a tenth of its time."""
    said = number.encode()
    return (sum(said[::-2].translate(ONCE)) + sum(said[-2::-2].translate(TWICE))) % 10 == 0


ONCE = bytes.maketrans(digits.encode(), bytes(range(10)))
TWICE = bytes.maketrans(digits.encode(), bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
"""The values of digits, and twice these, and of that the sum of its digits."""


def _is_iban(match: re.Match[str]) -> bool:
    """The country's structure and length, and the check digits right (ISO 13616, ISO/IEC 7064 MOD 97-10)."""
    text = match[0].replace("-", "").replace(" ", "")
    if not free(match) or not 15 <= len(text) <= 34:
        return False
    return int((text[4:] + text[:4]).translate(VALUES)) % 97 == 1 and _has_structure(
        text[:2], text[4:].translate(KINDS)
    )


VALUES = {ord(letter): str(value) for value, letter in enumerate(ascii_uppercase, 10)}
KINDS = str.maketrans(ascii_uppercase + digits, "A" * 26 + "0" * 10)


@cache
def _has_structure(country: str, account: str) -> bool:
    """Whether a country's accounts look like this one, in which A stands for each letter and 0 for each digit."""
    from stdnum import iban

    check = iban.calc_check_digits(f"{country}00{account}")
    return bool(iban.is_valid(f"{country}{check}{account}", check_country=False))


IBAN: Pattern = Later(rf"(?<!{SPACED})[A-Z]{{2}}\d\d(?:[ -]?[A-Z0-9]{{1,4}}){{3,10}}")
COUNTRY = re.compile(r"[A-Z][A-Z]\d\d")


def _next_iban(text: str, start: int) -> re.Match[str] | None:
    """`IBAN.search(text, start)`, which would try its look-behind at every character."""
    for country in COUNTRY.finditer(text, start):
        if match := IBAN.match(text, country.start()):
            return match
    return None


JOINT = " -"
"""What may stand between two digits of an account's or a card's number, or between letters of the one."""
FIRST = "1234568"
"""Digits that a card's number begins with."""


def _may_have_card(numerals: Numerals) -> Numbers:
    """The places of the texts with enough digits, of which the first is a network's and begins no later in a number."""
    begin = numerals.series(entitykernels.SHORT, JOINT, 1)
    begin = begin[signs(FIRST)[numerals.after(begin, 0)] & ~signs(INNER)[numerals.before(begin)]]
    return numerals.places(begin[_end_right(numerals, begin)])


def _end_right(numerals: Numerals, begin: Numbers) -> Numbers:
    """Whether some number of digits from SHORT to LONG passes Luhn's check, and no other digit follows."""
    import numpy as np

    place = np.arange(entitykernels.LONG)
    digits = begin[:, None] + place
    values = numerals.bytes[numerals.at[np.minimum(digits, len(numerals.at) - 1)]] - ord("0")
    doubled = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9])[values]
    # Of the digits up to one at an even place, those at even places count once, and the other way round.
    even, odd = (np.cumsum(np.where(place % 2 == parity, values, doubled), axis=1) for parity in (0, 1))
    right: Numbers = (np.where(place % 2 == 0, even, odd) % 10 == 0) & (numerals.gaps[digits] != 1)
    some: Numbers = np.any(right[:, entitykernels.SHORT - 1 :], axis=1)
    return some


def _may_have_iban(numerals: Numerals) -> Numbers:
    """The places of the texts with two capitals, two digits, and four of either, perhaps behind a sign."""
    begin = numerals.behind(ascii_uppercase)
    begin = begin[numerals.gaps[begin] == 1]
    begin = begin[signs(ascii_uppercase)[numerals.before(begin, 2)]]
    joint = signs(JOINT)[numerals.after(begin, 2)]
    account = [signs(ascii_uppercase + digits)[numerals.after(begin, 2 + at + joint)] for at in range(4)]
    return numerals.places(begin[account[0] & account[1] & account[2] & account[3]])


INNER = f"{ascii_letters}{digits}_-/+$%@"
"""Before a digit it says that no number begins there: see `free`."""
ENTITIES: dict[str, Entity] = {
    "iban": Entity(
        _may_have_iban,
        numbers(IBAN, _is_iban, _next_iban),
        re.compile(r"[A-Z][A-Z]\d\d[ -]?[A-Z0-9]{4}", re.ASCII).search,
        strict=True,
        telling=entitykernels.ACCOUNT,
    ),
    "card": Entity(_may_have_card, numbers(CARD, _is_card), many_digits, telling=entitykernels.CARD),
}
