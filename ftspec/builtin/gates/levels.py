"""Gates on what one model reaches: accuracy, consistency, any metric, and each slice by itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ftspec import api
from ftspec.builtin import bounds
from ftspec.builtin.gates.scores import (
    PASS_K,
    Evidence,
    Metric,
    Share,
    UnmeasuredError,
    consistency_of,
    judging,
    need_slices,
    need_verdicts,
    of_metric,
    of_slice,
    score_of,
    told,
)

CODE = ["ftspec.builtin.gates.scores", "ftspec.builtin.bounds"]


@api.gate(rules=[bounds.one_or_both], code=CODE)
def accuracy(
    *,
    min: Share | None = None,
    max: Share | None = None,
    model: str = "tuned",
    grader: str = "",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """The share of answers that pass lies within `min` and `max`; of one grader alone when `grader` gives its id.

    Args:
        model: "tuned", "base", or the name of another model that was asked.
        slice: only the prompts with this tag.
        evidence: interval: the whole 95 percent interval must lie within the bounds, and where only a part of it does
            there is too little evidence. estimate: the measured share decides, however few prompts it rests on.
    """

    @judging("accuracy")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = score_of(evaluation, model, slice)
        measured = _named(score, "accuracy")
        if grader:
            if grader not in score.graders:
                raise UnmeasuredError(f"there is no grader '{grader}': there are {', '.join(score.graders)}")
            need_verdicts(evaluation, model, grader)
            measured = score.measures.get(grader, api.Measured(value=score.graders[grader]))
        of = (f" of grader '{grader}'" if grader else "") + of_slice(slice)
        what = f"accuracy{of} of the {model} model is {told(measured, min, max)}"
        worst = _against(score, grader, min)
        return api.decide("accuracy", what, measured, low=min, high=max, rule=evidence, worst=worst)

    return judge


@api.gate(needs=lambda options: api.Needs(repeats=True), code=CODE)
def consistency(*, min: Share, model: str = "tuned", slice: str = "", evidence: Evidence = "interval") -> api.Gate:
    """The share of pairs of repeats of one prompt that get the same verdict is at least `min`; see `accuracy`."""

    @judging("consistency")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = score_of(evaluation, model, slice)
        measured = _named(score, "consistency")
        what = f"consistency{of_slice(slice)} of the {model} model is {told(measured, min)}"
        return api.decide("consistency", what, measured, low=min, rule=evidence, worst=score.divided)

    return judge


@api.gate(rules=[bounds.one_or_both], needs=of_metric, code=CODE)
def metric(
    *,
    name: Annotated[str, Meta(min_length=1)],
    min: float | None = None,
    max: float | None = None,
    model: str = "tuned",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """Any metric of the evaluation lies within `min` and `max`.

    Args:
        name: accuracy, consistency, pass@3 (one of 3 answers passes), pass^3 (all of 3 pass), a grader's id (its pass
            rate), or what a grader says of all answers, such as routing.macro_f1.
        slice: only the prompts with this tag.
        evidence: as for `accuracy`; a metric without an interval is judged by its value.
    """

    @judging("metric")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = score_of(evaluation, model, slice)
        need_verdicts(evaluation, model, name)
        measured = _named(score, name)
        what = f"{name}{of_slice(slice)} of the {model} model is {told(measured, min, max)}"
        cases = score.divided if name == "consistency" else _against(score, name, min)
        return api.decide("metric", what, measured, low=min, high=max, rule=evidence, worst=cases)

    return judge


def _against(score: api.Score, metric: str, least: float | None) -> tuple[api.Worst, ...]:
    """The worst cases, as far as they speak against the metric: none where only too much of it can, and of a grader's
    those that it let fail."""
    if least is None:
        return ()
    if metric not in score.graders or len(score.graders) == 1:
        return score.worst
    return tuple(one for one in score.worst if one.reason == metric or one.reason.startswith(f"{metric}: "))


def _named(score: api.Score, name: str) -> api.Measured:
    """A metric by its name. Raises UnmeasuredError where it was not measured."""
    if name == "accuracy":
        return api.Measured(value=score.accuracy, interval=score.interval, n=score.prompts)
    if name == "consistency":
        return api.Measured(value=consistency_of(score), interval=score.consistency_interval, n=score.prompts)
    if found := PASS_K.fullmatch(name):
        passes, k = score.pass_at if found[1] == "@" else score.pass_all, int(found[2])
        if k <= len(passes):
            return passes[k - 1]
        raise UnmeasuredError(f"{name} needs `repeat` of {k} or more, and a `temperature`")
    known = {**score.measures, **score.metrics}
    if name not in known:
        raise UnmeasuredError(f"there is no metric '{name}': there are accuracy, consistency, {', '.join(known)}")
    return known[name]


@api.gate(needs=of_metric, code=CODE)
def slices(
    *,
    min: Share,
    metric: Metric = "accuracy",
    model: str = "tuned",
    only: list[str] = [],
    evidence: Evidence = "interval",
) -> api.Gate:
    """Every slice of the prompts (all prompts with one tag) has a metric of at least `min`.

    It passes when every slice does, which needs no correction for their number; it fails when one does.

    Args:
        only: tags to look at; all of them when empty.
        evidence: as for `accuracy`.
    """

    @judging("slices")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = score_of(evaluation, model)
        need_slices(score, only)
        tags = only or list(score.slices)
        gate = consistency.factory if metric == "consistency" else accuracy.factory
        verdicts = [gate(min=min, model=model, slice=tag, evidence=evidence)(evaluation) for tag in tags]
        return _weakest("slices", verdicts)

    return judge


def _weakest(gate: str, verdicts: list[api.Verdict]) -> api.Verdict:
    """All verdicts as one: the worst outcome, told by the slice with the smallest value among those that have it."""
    rank = ("FAIL", "INSUFFICIENT_EVIDENCE", "PASS")
    worst = min(verdicts, key=lambda one: (rank.index(one.outcome or "FAIL"), one.measured or 0.0))
    counts = [f"{sum(one.outcome == outcome for one in verdicts)} {words}" for outcome, words in _WORDS.items()]
    needed = [one.needed for one in verdicts if one.needed]
    return api.Verdict(
        gate=gate,
        passed=worst.passed,
        measured=worst.measured,
        message=f"of {len(verdicts)} slices {', '.join(counts)}; the weakest: {worst.message}",
        outcome=worst.outcome,
        needed=max(needed) if needed and worst.outcome == "INSUFFICIENT_EVIDENCE" else None,
        worst=worst.worst,
    )


_WORDS = {"PASS": "pass", "FAIL": "fail", "INSUFFICIENT_EVIDENCE": "cannot be told yet"}


COMPONENTS: dict[str, api.Component] = {
    component.name: component for component in (accuracy, consistency, metric, slices)
}
