"""Which words of an answer differ from a reference: what the page marks."""

from __future__ import annotations

import re
from typing import NamedTuple

WORD = re.compile(r"\w+|\s+|[^\w\s]")
LONGEST = 1500
"""Words beyond which nothing is marked: the comparison takes time in the product of both lengths."""


class Piece(NamedTuple):
    """A stretch of a text, and whether the reference lacks it."""

    words: str
    differs: bool


def differences(given: str, reference: str | None) -> list[Piece]:
    """The text in pieces, those marked that are not in the reference; one plain piece where there is none."""
    from rapidfuzz.distance import Indel

    words, others = WORD.findall(given), WORD.findall(reference or "")
    if reference is None or len(words) > LONGEST or len(others) > LONGEST:
        return [Piece(given, False)]
    return [
        Piece("".join(words[step.dest_start : step.dest_end]), step.tag == "insert")
        for step in Indel.opcodes(others, words)
        if step.tag != "delete"
    ]
