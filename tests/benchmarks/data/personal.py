"""Personal data to plant, valid by the rules of each kind, and what merely looks like it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

NAMES = (
    "anna", "bogdan", "chiara", "dmitri", "elena", "farid", "grace", "hiro", "ines", "jonas", "karim", "lucia",
    "marek", "nadia", "olga", "pedro",
)  # fmt: skip
SURNAMES = (
    "schmidt", "okafor", "tanaka", "rossi", "dubois", "novak", "silva", "larsen", "moreau", "kowalski",
    "haddad", "jensen", "ferrari", "weber",
)  # fmt: skip
HOSTS = (
    "example.com", "mail.example.org", "shop.example.net", "kontakt.example.de", "post.example.fr",
    "uni.example.edu",
)  # fmt: skip


def email(draw: Random) -> str:
    name, surname = draw.choice(NAMES), draw.choice(SURNAMES)
    local = draw.choice(
        [f"{name}.{surname}", f"{name[0]}{surname}{draw.randrange(99)}", f"{name}_{surname}+shop", surname]
    )
    return f"{local}@{draw.choice(HOSTS)}"


def phone(draw: Random) -> str:
    a, b, c = draw.randrange(200, 999), draw.randrange(200, 999), draw.randrange(1000, 9999)
    return draw.choice([
        f"({a}) {b}-{c}", f"+1 {a} {b} {c}", f"+1-{a}-{b}-{c}", f"+44 20 {c} {draw.randrange(1000, 9999)}",
        f"+49 30 {draw.randrange(1_000_000, 99_999_999)}",
        f"+33 6 {a % 90 + 10} {b % 90 + 10} {c % 90 + 10} {a % 89 + 11}",
    ])  # fmt: skip


def card(draw: Random) -> str:
    """A number of a card that satisfies Luhn's check, in groups of four or not."""
    digits = draw.choice(["4", "51", "52", "53", "54", "55"])
    digits += "".join(str(draw.randrange(10)) for _ in range(15 - len(digits)))
    total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(digits))
    digits += str(-total % 10)
    return digits if draw.random() < 0.4 else " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def iban(draw: Random) -> str:
    """ISO 13616: country, two check digits (modulo 97), the account."""
    country, length = draw.choice([("DE", 18), ("NL", 0), ("FR", 23), ("AT", 16), ("ES", 20)])
    bank = "ABNA" if country == "NL" else ""
    account = bank + "".join(str(draw.randrange(10)) for _ in range(length or 10))
    number = int("".join(str(int(letter, 36)) for letter in f"{account}{country}00"))
    whole = f"{country}{98 - number % 97:02d}{account}"
    return whole if draw.random() < 0.5 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def ip(draw: Random) -> str:
    if draw.random() < 0.2:
        return "2001:db8:" + ":".join(f"{draw.randrange(1, 65536):x}" for _ in range(6))
    return ".".join(str(draw.randrange(1, 255)) for _ in range(4))


KINDS: dict[str, Callable[[Random], str]] = {"email": email, "phone": phone, "card": card, "iban": iban, "ip": ip}
SENTENCES = {
    "email": "Write to {} please.", "phone": "My phone number is {}, call me.",
    "card": "I paid with the card {} today.",
"iban": "Send it to the account {} instead.", "ip": "The request came from {} again.",
}  # fmt: skip


def lookalike(draw: Random) -> str:
    """A sentence with figures that are nobody's."""
    day, month, year = draw.randrange(1, 29), draw.randrange(1, 13), draw.randrange(1990, 2026)
    return draw.choice([
        f"It was {year}-{month:02d}-{day:02d} at {draw.randrange(24):02d}:{draw.randrange(60):02d}.",
        f"Order {draw.randrange(10_000, 99_999)} of {day:02d}.{month:02d}.{year} is late.",
        f"Version {draw.randrange(9)}.{draw.randrange(20)}.{draw.randrange(20)} fixed it.",
        f"That was {draw.randrange(1, 9)},{draw.randrange(100, 999)},{draw.randrange(100, 999)}.50 in {year}.",
        f"See section {draw.randrange(1, 9)}.{draw.randrange(1, 9)} and pages {day}-{day + 12}.",
    ])  # fmt: skip
