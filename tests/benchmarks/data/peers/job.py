"""The job on one text, as Python code that many write, and what peers share: python regexes, ftfy, word 5-grams."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

BLANKS = re.compile(r"[ \t\u00a0\u3000]+")
PERSONAL = [
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "[EMAIL]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"), "[IBAN]"),
    (re.compile(r"\b(?:\d{4}[ -]?){3}\d{4}\b"), "[CARD]"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b"), "[IP]"),
    (re.compile(r"\(\d{3}\) \d{3}-\d{4}|\+\d{1,2}[ -]\d[\d -]{6,14}\d"), "[PHONE]"),
]
LEAST, MOST = 20, 8000
THRESHOLD, PERMUTATIONS = 0.7, 128


def clean(text: str) -> str:
    """NFC, white space, mojibake, personal data."""
    import ftfy

    text = unicodedata.normalize("NFC", text)
    text = ftfy.fix_text(BLANKS.sub(" ", text).strip())
    for pattern, placeholder in PERSONAL:
        text = pattern.sub(placeholder, text)
    return text


def fits(texts: Iterable[str]) -> bool:
    """No text is empty, and all of them have together from LEAST to MOST characters."""
    listed = list(texts)
    return all(listed) and LEAST <= sum(map(len, listed)) <= MOST


def shingles(text: str) -> set[bytes]:
    words = text.lower().split()
    return {" ".join(words[at : at + 5]).encode() for at in range(max(len(words) - 4, 1))}
