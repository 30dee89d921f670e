"""What graders say about all answers together: mean scores; of a classification the confusion matrix, and precision,
recall and F1 per class.

The formulas are those of Manning, Raghavan and Schütze (2008), Introduction to Information Retrieval, 8.3 and 13.6;
tests hold them to scikit-learn's.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

from ftspec.common.evaluation import Classes, ClassScore, Label, Measured
from ftspec.grading.grade import Graded

Pairs = Counter[tuple[str, str]]
"""How often (expected, given) came."""


def count(labels: Iterable[Label]) -> Classes:
    """Count labels; classes come in the order of their names."""
    return _counted(Counter((label.expected, label.given) for label in labels))


def _counted(pairs: Pairs) -> Classes:
    names = sorted({name for pair in pairs for name in pair})
    scores = tuple(_score(name, pairs) for name in names)
    expected = [score.f1 for score in scores if score.support]
    return Classes(
        labels=tuple(names),
        counts=tuple(tuple(pairs[one, two] for two in names) for one in names),
        scores=scores,
        macro_f1=sum(expected) / len(expected) if expected else 0.0,
    )


def _score(name: str, pairs: Pairs) -> ClassScore:
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
    found: dict[str, Pairs] = {}
    for one in graded:
        for name, said in one.grades.items():
            if said.label:
                found.setdefault(name, Counter())[said.label.expected, said.label.given] += 1
    return {name: _counted(pairs) for name, pairs in found.items()}


def metrics(graded: Iterable[Graded], counted: Mapping[str, Classes]) -> dict[str, Measured]:
    """By "grader.metric": the mean `score` of each grader that scores, and `macro_f1` of each that says labels.

    No interval: none of them is a proportion.
    """
    scores: dict[str, array[float]] = {}
    prompts: dict[str, set[str]] = {}
    for one in graded:
        for name, said in one.grades.items():
            if said.score is not None:
                scores.setdefault(name, array("d")).append(said.score)
                prompts.setdefault(name, set()).add(one.prompt)
    found = {f"{name}.score": Measured(value=sum(got) / len(got), n=len(prompts[name])) for name, got in scores.items()}
    for name, sums in counted.items():
        answers = sum(score.support for score in sums.scores)
        found[f"{name}.macro_f1"] = Measured(value=sums.macro_f1, n=answers)
    return found
