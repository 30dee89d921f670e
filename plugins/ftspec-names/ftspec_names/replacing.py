"""From the names that were found in a row's texts to the texts without them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ftspec_names.finding import Span

PART = 3
"""Letters that a word of a name must have to be looked for by itself: `van` and `Li` stand for too much."""
TITLES = frozenset(
    ("mrs", "miss", "prof", "professor", "doctor", "sir", "lady", "herr", "frau", "mme", "señor", "señora")
)
"""Words before a name, which pipelines take for a part of it. Shorter ones than PART need not be here."""


class Replacer:
    """[NAME] for what was found, and for the same anywhere else in the row."""

    def __init__(self, numbered: bool, parts: bool) -> None:
        self.numbered, self.parts = numbered, parts

    def __call__(self, found: Mapping[str, Sequence[Span]]) -> dict[str, str]:
        """The texts that change, and what becomes of each. `found` is in the order of the row's texts."""
        values = {text[span.start : span.end]: span.kind for text, spans in found.items() for span in spans}
        if not values:
            return {}
        whole = self._whole(values)
        known = {same(value): kind for value, kind in values.items()} | dict.fromkeys(whole, "NAME")
        patterns = list(_patterns(values, whole))
        numbers: dict[str, dict[str, int]] = {}
        after = {}
        for text, spans in found.items():
            places = merged([*spans, *_others(text, patterns, known)])
            made = self._replaced(text, places, whole, numbers)
            if made != text:
                after[text] = made
        return after

    def _whole(self, values: Mapping[str, str]) -> dict[str, str]:
        """Words of people's names, each with the first name that it is a part of."""
        whole: dict[str, str] = {}
        for value, kind in values.items():
            words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", value) if kind == "NAME" and self.parts else []
            for word in words if len(words) > 1 else ():
                if len(word) >= PART and not word[0].islower() and word.casefold() not in TITLES:
                    whole.setdefault(word, value)
        return whole

    def _replaced(
        self, text: str, places: Iterable[Span], whole: Mapping[str, str], numbers: dict[str, dict[str, int]]
    ) -> str:
        done: list[str] = []
        kept = 0
        for span in places:
            value = text[span.start : span.end]
            seen = numbers.setdefault(span.kind, {})
            number = seen.setdefault(same(whole.get(value, value)), len(seen) + 1)
            done += [text[kept : span.start], f"[{span.kind}_{number}]" if self.numbered else f"[{span.kind}]"]
            kept = span.end
        return "".join([*done, text[kept:]])


def same(value: str) -> str:
    """What is equal for two ways of writing one name."""
    return " ".join(value.split()).casefold()


def merged(spans: Iterable[Span]) -> list[Span]:
    """In order; those that overlap are one, of the kind of the first."""
    done: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if done and span.start < done[-1].end:
            done[-1] = done[-1]._replace(end=max(done[-1].end, span.end))
        else:
            done.append(span)
    return done


def _patterns(values: Mapping[str, str], parts: Iterable[str]) -> Iterator[re.Pattern[str]]:
    """What else is looked for: names of several words in any case, since `Will` is a name and `will` is none."""
    several = [value for value in values if len(value.split()) > 1]
    single = [value for value in {**values, **dict.fromkeys(parts, "")} if len(value.split()) == 1]
    for names, flags in ((several, re.IGNORECASE), (single, re.NOFLAG)):
        if names:
            longest = sorted(names, key=lambda name: (-len(name), name))
            yield re.compile("|".join(map(_pattern, longest)), flags)


def _pattern(name: str) -> str:
    """The name as a whole word; in scripts without spaces between words, and without case, anywhere."""
    written = r"\s+".join(map(re.escape, name.split()))
    return rf"(?<!\w){written}(?!\w)" if name.lower() != name.upper() else written


def _others(text: str, patterns: Iterable[re.Pattern[str]], known: Mapping[str, str]) -> Iterator[Span]:
    for pattern in patterns:
        for match in pattern.finditer(text):
            yield Span(*match.span(), known.get(match[0]) or known.get(same(match[0]), "NAME"))
