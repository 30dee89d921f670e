"""What near-duplicates are measured by here, written apart from ftspec's own: the generator and the judge share it."""

from __future__ import annotations

import re
import unicodedata

UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
Shingles = set[tuple[str, ...]]


class Parting(dict[int, str]):
    """For str.translate: a space for all that parts words: all but letters, digits, marks and symbols."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = letter if unicodedata.category(letter)[0] in "LNMS" else " "
        return self[code]


PARTING = Parting()


def of(texts: list[str]) -> Shingles:
    """Five words in a row over all texts, in any case; where a script has no spaces, a character is a word."""
    whole = " ".join(texts).casefold().translate(PARTING)
    words = (whole if whole.isascii() else UNSPACED.sub(lambda match: f" {match[0]} ", whole)).split()
    return set(zip(words, words[1:], words[2:], words[3:], words[4:], strict=False)) or {tuple(words)}


def jaccard(one: Shingles, other: Shingles) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)
