"""Graders that measure how close an answer comes to the expected one, with the libraries that the field reports.

A score of one answer says little by itself; their mean over all answers is in the report, as "<grader>.score".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta

from ftspec import api
from ftspec.builtin.answers import NOTHING_EXPECTED, normalizer, passed_if, said, short

CODE = ["ftspec.builtin.answers"]


Share = Annotated[float, Meta(ge=0, le=1)]
METRICS = "pip install 'ftspec[metrics]'"
Measure = Callable[[str, str], float]
"""(answer, reference) → 0 to 1."""


def close(measure: Measure, text: str | None, threshold: float) -> api.Grader:
    """Pass answers from the threshold on."""

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = prompt.expected if text is None else text
        if expected is None:
            return passed_if(False, NOTHING_EXPECTED)
        score = min(max(measure(said(answer), expected), 0.0), 1.0)
        alike = api.beside(score, threshold, digits=2)
        return passed_if(score >= threshold, f"{alike} similar to {short(expected)}, wanted {threshold:g}", score)

    return grade


@api.grader(dependencies=["rapidfuzz>=3.14"], code=CODE)
def similarity(
    *,
    text: str | None = None,
    threshold: Share = 0.8,
    distance: Annotated[int, Meta(ge=0)] | None = None,
    strip: bool = True,
    ignore_case: bool = False,
) -> api.Grader:
    """The answer is close to the expected one (or `text`): 1 is equal, 0 has nothing in common.

    The score is 1 minus the Levenshtein distance over the longer text's length, in characters. With `distance` an
    answer passes that is at most so many edits away, whatever its score.
    """
    from rapidfuzz.distance import Levenshtein

    normal = normalizer(strip, ignore_case)

    def similar(given: str, wanted: str) -> float:
        return Levenshtein.normalized_similarity(normal(given), normal(wanted))

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = prompt.expected if text is None else text
        if expected is None:
            return passed_if(False, NOTHING_EXPECTED)
        edits = Levenshtein.distance(normal(said(answer)), normal(expected))
        reason = f"{edits:,} edits from {short(expected)}, wanted at most {distance:,}"
        return passed_if(edits <= (distance or 0), reason, similar(said(answer), expected))

    return close(similar, text, threshold) if distance is None else grade


@api.grader(dependencies=["rouge-score>=0.1.2"], install=METRICS, code=CODE)
def rouge(
    *,
    variant: Literal["rouge1", "rouge2", "rougeL"] = "rougeL",
    part: Literal["precision", "recall", "fmeasure"] = "fmeasure",
    stem: bool = False,
    text: str | None = None,
    threshold: Share = 0.5,
) -> api.Grader:
    """The answer shares words with the expected one (or `text`): ROUGE (Lin 2004), as Google's rouge-score counts it.

    `rouge1` and `rouge2` count words and pairs of words, `rougeL` the longest common subsequence. `stem` takes English
    endings off first. Only Latin letters and digits count as words there: use `chrf` for other scripts.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([variant], use_stemmer=stem)
    return close(lambda given, wanted: float(getattr(scorer.score(wanted, given)[variant], part)), text, threshold)


@api.grader(dependencies=["sacrebleu>=2.6"], install=METRICS, code=CODE)
def bleu(
    *,
    tokenize: Literal["13a", "char", "intl", "none", "zh"] = "13a",
    ignore_case: bool = False,
    text: str | None = None,
    threshold: Share = 0.3,
) -> api.Grader:
    """The answer shares word n-grams with the expected one (or `text`): BLEU (Papineni et al. 2002), by sacrebleu.

    Of one answer, with sacrebleu's own smoothing and effective order; from 0 to 1, where papers say 0 to 100. The mean
    over answers is not corpus BLEU.
    """
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=ignore_case, tokenize=tokenize, effective_order=True)
    return close(lambda given, wanted: metric.sentence_score(given, [wanted]).score / 100, text, threshold)


@api.grader(dependencies=["sacrebleu>=2.6"], install=METRICS, code=CODE)
def chrf(
    *,
    word_order: Annotated[int, Meta(ge=0, le=2)] = 0,
    ignore_case: bool = False,
    text: str | None = None,
    threshold: Share = 0.5,
) -> api.Grader:
    """The answer shares character n-grams with the expected one (or `text`): chrF (Popović 2015), by sacrebleu.

    `word_order: 2` is chrF++. From 0 to 1, where papers say 0 to 100.
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF(word_order=word_order, lowercase=ignore_case)
    return close(lambda given, wanted: metric.sentence_score(given, [wanted]).score / 100, text, threshold)


@api.grader(dependencies=["sentence-transformers>=5"], install="pip install 'ftspec[embeddings]'", code=CODE)
def embedding(*, model: api.Path, text: str | None = None, threshold: Share = 0.8) -> api.Grader:
    """The answer means about the same as the expected one (or `text`): the cosine of two sentence embeddings.

    `model` is a folder that sentence-transformers reads: what is in it decides the score, so its content counts. A
    cosine below 0 scores 0. Embeddings are made on the CPU, one answer at a time.
    """
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(model, device="cpu", local_files_only=True)

    def cosine(given: str, wanted: str) -> float:
        one, two = encoder.encode([given, wanted], normalize_embeddings=True, show_progress_bar=False)
        return float(one @ two)

    return close(cosine, text, threshold)


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (similarity, rouge, bleu, chrf, embedding)}
