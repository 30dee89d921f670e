"""Which names stand in a text, as a spaCy pipeline sees it: a function of the text alone."""

from __future__ import annotations

import re
import string
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ftspec import api

if TYPE_CHECKING:
    from spacy.language import Language

PEOPLE = ("PERSON", "PER", "persName", "PRS", "PS")
"""How spaCy's pipelines label people: most languages, and in this order Polish, Swedish and Korean."""
KINDS = dict.fromkeys(PEOPLE, "NAME") | {"GPE": "PLACE", "LOC": "PLACE"}

PIECE = 20_000
"""Characters that are looked at together: the memory that a pipeline takes grows with them."""
REMEMBERED = 256
"""Texts whose names are remembered: many rows have the same system message."""

RULERS = ("entity_ruler", "span_ruler")
"""Components that find by rules, which may ask for whatever other components say of a word."""

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*\]")
AROUND = string.whitespace + string.punctuation + "“”„‘’«»‹›…–—·•¿¡、。，："
STEP = "cleaning step 'redact_names'"
SHOWN = 200
LOADING = threading.Lock()


class Span(NamedTuple):
    """Where a name stands, and what takes its place: NAME, PLACE, ..."""

    start: int
    end: int
    kind: str


class Finder:
    """A pipeline of which only what finds entities runs.

    Each text is looked at by itself: in a batch the last bits of a network's sums depend on the batch's other texts,
    and rows must not depend on how they are cut into batches. Threads take turns, as spaCy's vocabulary wants it.
    """

    def __init__(self, model: str | None, path: str | None, labels: Sequence[str], min_length: int) -> None:
        self.nlp = load(model, path)
        self.labels = wanted(self.nlp, labels)
        self.min_length = min_length
        self.turn = threading.Lock()
        self.remembered = lru_cache(REMEMBERED)(self._all)

    def __call__(self, text: str) -> tuple[Span, ...]:
        """The names in the text, in order; none lies in another."""
        return self.remembered(text)

    def _all(self, text: str) -> tuple[Span, ...]:
        placeholders = [match.span() for match in PLACEHOLDER.finditer(text)]
        return tuple(
            span
            for start, piece in pieces(text)
            for span in self._of_piece(start, piece)
            if not any(start < span.end and span.start < end for start, end in placeholders)
        )

    def _of_piece(self, offset: int, piece: str) -> list[Span]:
        with self.turn, self.nlp.memory_zone():
            found = [
                (entity.start_char, entity.text, entity.label_)
                for entity in self.nlp(piece).ents
                if entity.label_ in self.labels
            ]
        trimmed = (trim(offset + start, text, KINDS.get(label, label.upper())) for start, text, label in found)
        return [span for span in trimmed if span.end - span.start >= self.min_length]


def trim(start: int, text: str, kind: str) -> Span:
    """The name without what surrounds it: white space, punctuation, the English 's."""
    head = start + len(text) - len(text.lstrip(AROUND))
    name = text.strip(AROUND).removesuffix("'s").removesuffix("’s").rstrip(AROUND)
    return Span(head, head + len(name), kind)


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces with their places; it is cut at the end of a line or of a word, where it has any."""
    start = 0
    while len(text) - start > PIECE:
        cut = max(text.rfind("\n", start, start + PIECE), 0) or max(text.rfind(" ", start, start + PIECE), 0)
        end = cut if cut > start else start + PIECE
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def load(model: str | None, path: str | None) -> Language:
    """The pipeline, with what finds entities and what that stands on.

    Raises ImportError where the package is not installed, FtspecError for a folder that is no pipeline."""
    import spacy

    with LOADING:
        if model is not None and not spacy.util.is_package(model):
            raise ModuleNotFoundError(f"no spaCy pipeline '{model}' is installed")
        try:
            nlp = spacy.load(path or model or "")
        except (OSError, ValueError, KeyError) as error:
            message = f"{STEP}: no spaCy pipeline can be read from {path or model}: {str(error)[:SHOWN]}"
            raise api.FtspecError(message, "name what `nlp.to_disk`, `spacy train` or `spacy package` wrote") from error
        nlp.select_pipes(enable=enough(nlp))
    return nlp


def enough(nlp: Language) -> list[str]:
    """The components that find entities, and those that make vectors for them. Raises FtspecError where none does."""
    finders = [name for name in nlp.pipe_names if finds(nlp, name)]
    if not finders:
        message = f"{STEP}: the pipeline has no component that finds entities; it has {listed(nlp.pipe_names)}"
        raise api.FtspecError(message, "name one with a component `ner`")
    if any(nlp.get_pipe_meta(name).factory in RULERS for name in finders):
        return list(nlp.pipe_names)
    return [
        name
        for name in nlp.pipe_names
        if name in finders or set(getattr(nlp.get_pipe(name), "listening_components", ())) & set(finders)
    ]


def finds(nlp: Language, name: str) -> bool:
    meta = nlp.get_pipe_meta(name)
    return "doc.ents" in meta.assigns or meta.factory in RULERS


def wanted(nlp: Language, labels: Sequence[str]) -> frozenset[str]:
    """The labels to look for. Raises FtspecError for one that the pipeline does not know."""
    known = {label for name in nlp.pipe_names if finds(nlp, name) for label in nlp.get_pipe(name).labels}
    missing = [label for label in labels if label not in known]
    if missing:
        message = f"{STEP}: the pipeline knows no label {listed(missing)}"
        raise api.FtspecError(message, f"it knows {listed(sorted(known))}")
    found = frozenset(labels or known & set(PEOPLE))
    if not found:
        message = f"{STEP}: the pipeline has no label for people that is known here"
        raise api.FtspecError(message, f"name its own with `labels`; it knows {listed(sorted(known))}")
    return found


def listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
