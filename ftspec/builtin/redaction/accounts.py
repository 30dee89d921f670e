"""Numbers of payment cards and bank accounts."""

from __future__ import annotations

import re

from ftspec.builtin.redaction.entities import SEVEN_DIGITS, Entity, announced, digits, free, many_digits, numbers

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

ISSUERS = [(re.compile(first), lengths) for first, lengths in NETWORKS]


SAID = announced(r"cards?|cc|credit|debit|visa|maestro|mastercard|karte|carte|tarjeta|carta|cartão")


def _is_card(match: re.Match[str]) -> bool:
    """A network's first digits and length, one kind of separator, and the check digit right (Luhn).

    Under 14 digits (an EAN has 13) a word has to say that it is a card.
    """
    from stdnum import luhn

    number = digits(match[0])
    separators = {character for character in match[0] if character in " -"}
    known = any(len(number) in lengths and first.match(number) for first, lengths in ISSUERS)
    plain = known and len(separators) < 2 and free(match) and (len(number) > 13 or SAID(match))
    return plain and bool(luhn.is_valid(number))


def _is_iban(match: re.Match[str]) -> bool:
    """The country's structure and length, and the check digits right (ISO 13616, ISO/IEC 7064 MOD 97-10)."""
    from stdnum import iban

    text = match[0].replace("-", "").replace(" ", "")
    return free(match) and 15 <= len(text) <= 34 and bool(iban.is_valid(text, check_country=False))


IBAN_BEGINS = r"[A-Z][A-Z]\d\d[ -]?[A-Z0-9]{4}"
ENTITIES: dict[str, Entity] = {
    "iban": Entity(
        IBAN_BEGINS,
        numbers(re.compile(r"(?<![^\W_])[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{1,4}){3,10}"), _is_iban),
        re.compile(IBAN_BEGINS, re.ASCII).search,
    ),
    "card": Entity(SEVEN_DIGITS, numbers(re.compile(r"\d(?:[ -]?\d){11,18}", re.ASCII), _is_card), many_digits),
}
