"""What graders say about all answers together: mean scores; of a classification the confusion matrix, and precision,
recall and F1 per class.

The formulas are those of Manning, Raghavan and Schütze (2008), Introduction to Information Retrieval, 8.3 and 13.6;
tests hold them to scikit-learn's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ftspec.grade import Graded
from ftspec.records import Classes, ClassScore, Label, Measured


def count(labels: Iterable[Label]) -> Classes:
    """Count labels; classes come in the order of their names."""
    pairs = Counter((label.expected, label.given) for label in labels)
    names = sorted({name for pair in pairs for name in pair})
    scores = tuple(_score(name, pairs) for name in names)
    expected = [score.f1 for score in scores if score.support]
    return Classes(
        labels=tuple(names),
        counts=tuple(tuple(pairs[one, two] for two in names) for one in names),
        scores=scores,
        macro_f1=sum(expected) / len(expected) if expected else 0.0,
    )


def _score(name: str, pairs: Counter[tuple[str, str]]) -> ClassScore:
    right = pairs[name, name]
    support = sum(number for (expected, _), number in pairs.items() if expected == name)
    given = sum(number for (_, said), number in pairs.items() if said == name)
    return ClassScore(
        label=name,
        precision=right / given if given else 0.0,
        recall=right / support if support else 0.0,
        f1=2 * right / (given + support) if given + support else 0.0,
        support=support,
    )


def by_grader(graded: Iterable[Graded]) -> dict[str, Classes]:
    """Of each grader that says labels, what they come to over all answers."""
    found: dict[str, list[Label]] = {}
    for one in graded:
        for name, said in one.grades.items():
            if said.label:
                found.setdefault(name, []).append(said.label)
    return {name: count(labels) for name, labels in found.items()}


def metrics(graded: Iterable[Graded], counted: Mapping[str, Classes]) -> dict[str, Measured]:
    """By "grader.metric": the mean `score` of each grader that scores, and `macro_f1` of each that says labels.

    No interval: none of them is a proportion.
    """
    scores: dict[str, dict[str, list[float]]] = {}
    for one in graded:
        for name, said in one.grades.items():
            if said.score is not None:
                scores.setdefault(name, {}).setdefault(one.prompt, []).append(said.score)
    found = {f"{name}.score": _mean(by_prompt) for name, by_prompt in scores.items()}
    for name, sums in counted.items():
        answers = sum(score.support for score in sums.scores)
        found[f"{name}.macro_f1"] = Measured(value=sums.macro_f1, n=answers)
    return found


def _mean(by_prompt: Mapping[str, list[float]]) -> Measured:
    values = [value for one in by_prompt.values() for value in one]
    return Measured(value=sum(values) / len(values), n=len(by_prompt))
