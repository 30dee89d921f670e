"""What an entity is, and how a text is searched for several: shapes by patterns, then a function looks twice.

Precision matters as much as recall: a date that becomes [PHONE] teaches a model nonsense. So a shape is only taken if
its check digit is right, or, where a format has none or a weak one, if a word before it says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.builtin.spaced import SPACED

if TYPE_CHECKING:
    from ftspec.builtin.redaction.numerals import Numbers, Numerals

Span = tuple[int, int]


class Entity(NamedTuple):
    """`hint` finds every text with such an entity, and few others: an RE2 pattern, or a function of the digits of many
    texts that gives places of texts; `spans` finds where in a text they are.

    `gate` is a quick look that every such text passes too: entities that share one are asked once per text. Where it
    says more than `hint` does, it is `strict`. `wide` is an RE2 pattern that finds all that one as `hint` does, and is
    quicker for those that share it ("": there is none). `telling`: the bit that `compiled.entitykernels.telling` sets
    of every such text, if it knows the entity.
    """

    hint: str | Callable[[Numerals], Numbers]
    spans: Callable[[str], Iterable[Span]]
    gate: Callable[[str], object] | None = None
    wide: str = ""
    strict: bool = False
    telling: int = 0


class Later:
    """A pattern that is compiled when it is first used: most jobs look for a few entities, and to compile what all of
    them need takes longer than to import all of ftspec. What is looked up once (`search`) is at hand from then on."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        pattern, flags = vars(self)["_given"]
        value = vars(self)[name] = getattr(re.compile(pattern, flags), name)
        return value


Pattern = re.Pattern[str] | Later


class Found(NamedTuple):
    """A value in a text, by where it begins and ends."""

    start: int
    end: int
    name: str


def find(text: str, entities: Iterable[tuple[str, Entity]]) -> list[Found]:
    """All entities of a text by position. What one has found is blank for those after it, so none overlap."""
    found: list[Found] = []
    fresh: list[Found] = []
    passed: dict[Callable[[str], object], object] = {}
    for name, entity in entities:
        for start, end, _ in fresh:
            text = f"{text[:start]}{BLANK * (end - start)}{text[end:]}"
        fresh = []
        gate = entity.gate
        if gate is not None:
            if gate not in passed:
                passed[gate] = gate(text)
            if not passed[gate]:
                continue
        fresh = [Found(start, end, name) for start, end in entity.spans(text)]
        found += fresh
    return sorted(found) if len(found) > 1 else found


BLANK = "\0"


def matches(
    pattern: Pattern, accept: Callable[[re.Match[str]], bool], group: int = 0
) -> Callable[[str], Iterator[Span]]:
    """Spans of `group` in the accepted matches of a pattern."""

    def spans(text: str) -> Iterator[Span]:
        for match in pattern.finditer(text):
            if accept(match):
                yield match.span(group)

    return spans


def words(pattern: Pattern, text: str) -> Iterator[Span]:
    """The words (what stands between two spaces) in which a pattern is found that knows no spaces."""
    end = 0
    while match := pattern.search(text, end):
        start = text.rfind(" ", 0, match.start()) + 1
        end = text.find(" ", match.end())
        end = len(text) if end < 0 else end
        yield start, end


Search = Callable[[str, int], re.Match[str] | None]


def numbers(
    pattern: Pattern, accept: Callable[[re.Match[str]], bool], search: Search | None = None
) -> Callable[[str], Iterator[Span]]:
    """Spans of accepted matches, or of what is left of one without a word or two at its end or its beginning.

    Numbers often follow numbers: `call 212 555 0123 24 hours a day`. `search` finds what `pattern.search` does.
    """

    def spans(text: str) -> Iterator[Span]:
        find, start = search or pattern.search, 0
        while match := find(text, start):
            if accept(match):
                start = match.end()
                yield match.span()
                continue
            space = text.find(" ", match.start() + 1, match.end())
            shorter = _shorter(match, accept) if space >= 0 else None
            if shorter:
                start = shorter.end()
                yield shorter.span()
            else:
                start = match.end() if space < 0 else space

    return spans


def _shorter(match: re.Match[str], accept: Callable[[re.Match[str]], bool]) -> re.Match[str] | None:
    """What is accepted of a match without its last word, or its last two."""
    text, (start, end) = match.string, match.span()
    for _ in range(2):
        end = text.rfind(" ", start, end)
        if end < 0:
            break
        shorter = match.re.match(text, start, end)
        if shorter and accept(shorter):
            return shorter
    return None


def count_digits(text: str) -> int:
    """How many digits of ASCII a text has."""
    return sum(map(DIGITS.__contains__, text))


DIGITS = frozenset("0123456789")


def free(match: re.Match[str]) -> bool:
    """Whether a number or code stands alone: it is no part of a longer one, of a word, a path or an amount of money.

    A comma parts it from the next cell of a table, unless it may be an amount.
    """
    text, start, end = match.string, match.start(), match.end()
    before, after = text[start - 1 : start] if start else "", text[end : end + 2]
    follows = after[:1]
    if before in BEFORE or follows in BEHIND or joins(before) or joins(follows):
        return False
    points = ",." if (before == "," or follows == ",") and _is_amount(match[0]) else "."
    if before and before in points and text[max(0, start - 2) : start - 1].isdigit():
        return False
    return not (follows and follows in f"{points}-/" and after[1:].isalnum())


BEHIND = frozenset("_%@")
BEFORE = BEHIND | frozenset("-/+$€£¥")
"""What says, behind or before a number, that it is part of something else."""


def joins(character: str) -> bool:
    """Whether a number goes on in it, or a word does that the number is a part of."""
    return character.isalnum() and (character.isascii() or bool(IN_WORDS.match(character)))


IN_WORDS = Later(SPACED)


def _is_amount(text: str) -> bool:
    """Whether a number may be one of money, with a comma before its decimals or its thousands."""
    return len(text) < 12 and text.replace(" ", "").replace(".", "").isdigit()


def announced(words: str) -> Callable[[re.Match[str]], bool]:
    """Whether one of `words` (a pattern) stands shortly before a match, or right after it: "BSN 123456782"."""
    before = Later(rf"(?<![^\W_])(?:{words})(?![^\W\d_])", re.IGNORECASE)
    after = Later(rf"[ ,(]{{0,2}}(?:[^\W\d_]{{1,6}} ){{0,2}}(?:{words})(?![^\W\d_])", re.IGNORECASE)

    def said(match: re.Match[str]) -> bool:
        text = match.string
        return bool(before.search(text, max(0, match.start() - REACH), match.start()) or after.match(text, match.end()))

    return said


TURKISH_I = "[iİı]"
"""What Python takes for an i where case is ignored, and RE2 does not."""
SIX_DIGITS = r"\d(?:[ ./()+-]{0,2}\d){5}"
"""Stands in whatever has six digits or more, separated by two signs at most: the quickest question about numbers."""
some_digits = re.compile(r"\d(?:[ ./()-]{0,2}\d){6}", re.ASCII).search
many_digits = re.compile(r"\d(?:[ ./()+-]{0,2}[\dAB]){8}", re.ASCII).search
coded = re.compile(r"[A-Za-z][ -]?\d", re.ASCII).search
has_digits = re.compile(r"\d{6}", re.ASCII).search
"""Gates: seven digits, nine digits, a letter before a digit, six digits in a row."""
REACH = 48
"""Characters before a number in which a word announces it: "her citizen service number (BSN), as of May, is ..."."""
