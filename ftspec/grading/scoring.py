"""From verdicts to an Evaluation: a Tally per prompt and model, a Score per model, a Comparison per pair of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ftspec.common.evaluation import NOT_ASKED, Evaluation, Interval, Score
from ftspec.common.messages import Prompt
from ftspec.common.references import mask
from ftspec.grading import classes
from ftspec.grading.differences import compare
from ftspec.grading.grade import Answered
from ftspec.grading.scores import score
from ftspec.grading.tally import Tally, brief, tallies

Pair = tuple[str, str]
"""(label, against)."""


def evaluate(
    prompts: Sequence[Prompt], answered: Mapping[str, Answered], pairs: Sequence[Pair] | None = None
) -> Evaluation:
    """Any number of models on the same prompts, by label. `pairs` says which are compared; see `usual_pairs`."""
    masked = mask.now()
    shown = [brief(prompt, masked) for prompt in prompts]
    found = {label: tallies(shown, given) for label, given in answered.items()}
    evaluation = of_tallies(found, {label: given.seconds for label, given in answered.items()}, pairs)
    scores = {label: _summed(score, answered[label]) for label, score in evaluation.scores.items()}
    return msgspec.structs.replace(
        evaluation,
        base=scores.pop("base", NOT_ASKED),
        tuned=scores.pop("tuned", NOT_ASKED),
        further=scores,
    )


def _summed(score: Score, answered: Answered) -> Score:
    """The score with what graders say about all answers together."""
    counted = classes.by_grader(answered.graded)
    metrics = {**score.metrics, **classes.metrics(answered.graded, counted)}
    return msgspec.structs.replace(score, classes=counted, judges=answered.judges, metrics=metrics)


def of_tallies(
    found: Mapping[str, Sequence[Tally]], seconds: Mapping[str, float], pairs: Sequence[Pair] | None
) -> Evaluation:
    """As `evaluate`, of what has been counted."""
    scores = {label: score(label, part, seconds.get(label, 0.0)) for label, part in found.items()}
    compared = tuple(
        comparison
        for label, against in (usual_pairs(list(found)) if pairs is None else pairs)
        for comparison in compare(found[label], found[against], label, against)
    )
    gain = next((c for c in compared if (c.label, c.against, c.metric) == ("tuned", "base", "accuracy")), None)
    return Evaluation(
        base=scores.pop("base", NOT_ASKED),
        tuned=scores.pop("tuned", NOT_ASKED),
        gain=gain.difference if gain else 0.0,
        gain_interval=gain.interval if gain else Interval(low=-1.0, high=1.0),
        further=scores,
        comparisons=compared,
    )


def usual_pairs(labels: Sequence[str], wanted: Iterable[Pair] = ()) -> list[Pair]:
    """Every model against the base model, the tuned model against every further one, and what else is wanted.

    Two models that are wanted the other way around are compared that way alone, but for the gain itself."""
    against_base = [(label, "base") for label in labels if label != "base" and "base" in labels]
    further = [label for label in labels if label not in ("base", "tuned")]
    usual = against_base + [("tuned", label) for label in further if "tuned" in labels]
    own = [pair for pair in dict.fromkeys(wanted) if pair not in usual and set(pair) <= set(labels)]
    return [pair for pair in usual if pair == ("tuned", "base") or pair[::-1] not in own] + own
