"""From verdicts to an Evaluation: a Tally per prompt and model, a Score per model, a Comparison per pair of models."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ftspec.common.evaluation import NOT_ASKED, Comparison, Evaluation, Interval, Measured, Score, Worst
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.common.references import mask
from ftspec.grading import classes
from ftspec.grading.grade import Answered, Graded
from ftspec.stats import paired, statistics
from ftspec.stats.statistics import Share

T = TypeVar("T")

WORST = 3
EXCERPT = 240
"""Characters of a text in a Worst."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What one model made of one prompt, in numbers. `said` and `reason` are of one answer that did not pass, `lost` of
    one that has an error. `graders` counts the answers that each lets pass, `silent` those that it has no opinion on.

    The prompt is better `brief`: there may be a hundred thousand of these.
    """

    prompt: Prompt
    share: Share
    graders: dict[str, int]
    repeats: int
    errors: int
    seconds: tuple[float, ...]
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    said: str
    reason: str
    lost: str = ""
    priced: int = 0
    unpriced: int = 0
    silent: dict[str, int] = {}


def tallies(prompts: Iterable[Prompt], answered: Answered) -> list[Tally]:
    """One Tally per prompt that was asked, in the prompts' order, each id once. They hold the prompts as they are."""
    return [tally(prompt, given) for prompt, given in answered.by_prompt(prompts)]


def brief(prompt: Prompt, masked: Callable[[str], str] = mask) -> Prompt:
    """What is told of a prompt as a case: what was last asked, what is expected (in excerpts), its tags and weight."""
    asked = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
    return msgspec.structs.replace(
        prompt,
        messages=[Message(role="user", content=_excerpt(asked, masked))],
        expected=None if prompt.expected is None else _excerpt(prompt.expected, masked),
        tools=None,
        row={},
    )


def tally(prompt: Prompt, given: Sequence[tuple[Answer, Graded]]) -> Tally:
    """Count one model's answers to one prompt. An answer with an error counts neither as passed nor as failed."""
    heard = [(answer, graded) for answer, graded in given if not graded.error]
    answers = [answer for answer, _ in heard]
    costs = [answer.cost for answer, _ in given if answer.cost is not None]
    wrong, why = next(((answer, graded) for answer, graded in heard if not graded.passed), (None, None))
    return Tally(
        prompt=prompt,
        share=Share(sum(graded.passed for _, graded in heard), len(heard), prompt.weight),
        graders=_passed_by_grader([graded for _, graded in heard]),
        repeats=1 + max((answer.repeat for answer, _ in given), default=-1),
        errors=len(given) - len(heard),
        seconds=tuple(answer.seconds for answer in answers if answer.seconds is not None),
        prompt_tokens=sum(answer.prompt_tokens or 0 for answer, _ in given),
        completion_tokens=sum(answer.completion_tokens or 0 for answer, _ in given),
        cost=sum(costs) if costs else None,
        said=_excerpt(wrong.text or wrong.tool_calls or "") if wrong else "",
        reason=_excerpt(_against(why)) if why else "",
        lost=next((_excerpt(graded.error) for _, graded in given if graded.error), ""),
        priced=len(costs),
        unpriced=sum(answer.cost is None and not answer.error for answer, _ in given),
        silent=_silent([graded for _, graded in heard]),
    )


def _against(graded: Graded) -> str:
    """Who decided against an answer, and why; of an earlier run's, the first that said no. One that is alone needs no
    name."""
    found = {graded.against: graded.grades[graded.against]} if graded.against else graded.grades
    name, reason = next(((n, g.reason) for n, g in found.items() if not g.passed), ("", ""))
    return reason if len(graded.grades) == 1 else f"{name}: {reason}" if reason else name


def _passed_by_grader(heard: Sequence[Graded]) -> dict[str, int]:
    names = dict.fromkeys(name for graded in heard for name in graded.grades)
    return {name: sum(graded.grades[name].passed for graded in heard if name in graded.grades) for name in names}


def _silent(heard: Sequence[Graded]) -> dict[str, int]:
    names = dict.fromkeys(name for graded in heard for name in graded.grades)
    missing = {name: sum(name not in graded.grades for graded in heard) for name in names}
    return {name: count for name, count in missing.items() if count}


# ---- scores


def score(label: str, found: Sequence[Tally], seconds: float = 0.0, *, slices: bool = True) -> Score:
    """How one model did; with a Score per tag where the prompts have tags."""
    shares = [one.share for one in found]
    consistent, consistent_interval = statistics.consistency(shares) or (None, None)
    accuracy, repeats = statistics.rate(shares), max((one.repeats for one in found), default=0)
    measures = _graders(found)
    costs = [one.cost for one in found if one.cost is not None]
    return Score(
        model=label,
        prompts=len(found),
        repeats=repeats,
        accuracy=accuracy,
        interval=statistics.interval(shares),
        bootstrap_interval=statistics.bootstrap(shares) if slices else None,
        consistency=consistent,
        consistency_interval=consistent_interval,
        quadrant=statistics.quadrant(accuracy, consistent),
        graders={name: measured.value for name, measured in measures.items()},
        measures=measures,
        pass_at=_passes(shares, repeats, every=False),
        pass_all=_passes(shares, repeats, every=True),
        errors=sum(one.errors for one in found),
        prompt_tokens=sum(one.prompt_tokens for one in found),
        completion_tokens=sum(one.completion_tokens for one in found),
        seconds=seconds,
        latency_p50=_latency(found, 0.5),
        latency_p95=_latency(found, 0.95),
        cost=sum(costs) if costs else None,
        priced=sum(one.priced for one in found),
        unpriced=sum(one.unpriced for one in found),
        slices=_slices(label, found) if slices else {},
        worst=_worst(found, lambda one: one.share.rate, lambda one: one.share.passed < one.share.total),
        slowest=_because("took {:.3f} s", _worst(found, lambda one: -max(one.seconds), lambda one: bool(one.seconds))),
        lost=next((one.lost for one in found if one.lost), ""),
        dearest=_because("cost {:.6f} USD", _worst(found, lambda one: -(one.cost or 0), lambda one: bool(one.cost))),
    )


def _slices(label: str, found: Sequence[Tally]) -> dict[str, Score]:
    return {tag: score(label, part, slices=False) for tag, part in _by_tag(found, lambda one: one).items()}


def _by_tag(entries: Iterable[T], of: Callable[[T], Tally]) -> dict[str, list[T]]:
    """The entries per tag, tags in the order in which they come first."""
    parts: dict[str, list[T]] = {}
    for entry in entries:
        for tag in dict.fromkeys(of(entry).prompt.tags):
            parts.setdefault(tag, []).append(entry)
    return parts


def _graders(found: Sequence[Tally]) -> dict[str, Measured]:
    names = dict.fromkeys(name for one in found for name in one.graders)
    return {
        # A grader of some prompts alone says nothing about the others.
        name: _measured(
            [
                Share(one.graders[name], one.share.total - one.silent.get(name, 0), one.share.weight)
                for one in found
                if name in one.graders
            ]
        )
        for name in names
    }


def _measured(shares: Sequence[Share]) -> Measured:
    return Measured(
        value=statistics.rate(shares),
        interval=statistics.interval(shares),
        n=sum(bool(share.total) for share in shares),
    )


def _passes(shares: Sequence[Share], repeats: int, *, every: bool) -> tuple[Measured, ...]:
    """pass@k (or pass^k) for k from 1 to the repeats, as far as some prompt has k answers."""
    found = (statistics.subsets(shares, k, every=every) for k in range(1, repeats + 1))
    return tuple(_measured(part) for part in found if any(share.total for share in part))


def _latency(found: Sequence[Tally], q: float) -> Measured | None:
    groups = [one.seconds for one in found if one.seconds]
    if not groups:
        return None
    value, interval = statistics.quantile(groups, q)
    return Measured(value=value, interval=interval, n=len(groups))


def _worst(found: Iterable[Tally], key: Callable[[Tally], float], wanted: Callable[[Tally], bool]) -> tuple[Worst, ...]:
    """The cases with the smallest key; a negative key stands for a value of which the largest are the worst."""
    chosen = heapq.nsmallest(WORST, (one for one in found if wanted(one)), key=key)
    return tuple(worst(one, abs(key(one))) for one in chosen)


def _because(words: str, found: Iterable[Worst]) -> tuple[Worst, ...]:
    """Cases that are told by their value, and not by why an answer did not pass."""
    return tuple(msgspec.structs.replace(one, reason=words.format(one.value), said="", expected="") for one in found)


def worst(one: Tally, value: float) -> Worst:
    """A case in brief."""
    return Worst(
        prompt=one.prompt.id,
        origin=one.prompt.origin,
        asked=_excerpt(next((m.content for m in reversed(one.prompt.messages) if m.role == "user"), "")),
        expected=_excerpt(one.prompt.expected or ""),
        said=one.said,
        reason=one.reason,
        value=value,
    )


def _excerpt(given: Any, masked: Callable[[str], str] = mask) -> str:
    text = masked(given if isinstance(given, str) else msgspec.json.encode(given).decode())
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"


# ---- comparisons

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
    found: Mapping[str, Sequence[Tally]], seconds: Mapping[str, float], pairs: Sequence[Pair] | None = None
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


def compare(found: Sequence[Tally], others: Sequence[Tally], label: str, against: str) -> list[Comparison]:
    """The accuracy of two models, and their consistency where both have one, over the prompts that both were asked."""
    by_id = {one.prompt.id: one for one in others}
    both = [(by_id[one.prompt.id], one) for one in found if one.prompt.id in by_id]
    blank = Comparison(label=label, against=against, difference=0.0, interval=Interval(low=-1.0, high=1.0))
    made = [_compared(both, lambda tally: tally.share, blank)]
    if any(_agreeing(one).total and _agreeing(two).total for one, two in both):
        made.append(_compared(both, _agreeing, msgspec.structs.replace(blank, metric="consistency")))
    return made


def _agreeing(found: Tally) -> Share:
    return statistics.pairs([found.share])[0]


Both = tuple[Tally, Tally]


def _compared(both: Sequence[Both], share: Callable[[Tally], Share], blank: Comparison) -> Comparison:
    parts = _by_tag(both, lambda pair: pair[1])
    slices = _adjusted({tag: _difference(part, share, blank) for tag, part in parts.items()})
    return msgspec.structs.replace(_difference(both, share, blank), slices=slices)


def _adjusted(slices: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The slices with their p-values corrected for how many there are."""
    known = {tag: one.p_value for tag, one in slices.items() if one.p_value is not None}
    corrected = dict(zip(known, paired.holm(list(known.values())), strict=True))
    return {tag: msgspec.structs.replace(one, adjusted=corrected.get(tag)) for tag, one in slices.items()}


def _difference(both: Sequence[Both], share: Callable[[Tally], Share], blank: Comparison) -> Comparison:
    before, after = [share(one) for one, _ in both], [share(one) for _, one in both]
    difference, interval = paired.gain(before, after)
    changes = [
        (two.rate - one.rate, pair[1])
        for pair, one, two in zip(both, before, after, strict=True)
        if one.total and two.total
    ]
    lost = heapq.nsmallest(WORST, (change for change in changes if change[0] < 0), key=lambda change: change[0])
    return msgspec.structs.replace(
        blank,
        difference=difference,
        interval=interval,
        prompts=len(changes),
        p_value=paired.p_value(before, after),
        detectable=paired.detectable(interval) if changes else None,
        better=sum(change > 0 for change, _ in changes),
        worse=sum(change < 0 for change, _ in changes),
        worst=tuple(worst(one, change) for change, one in lost),
    )
