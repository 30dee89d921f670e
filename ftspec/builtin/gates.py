"""Gates: an Evaluation to a Verdict. A metric that was not measured does not pass, and the message says what to do.

The rule is `api.decide`'s: the whole 95 percent interval decides, and what it cannot decide is INSUFFICIENT_EVIDENCE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from ftspec import api

Share = Annotated[float, Meta(ge=0, le=1)]
Difference = Annotated[float, Meta(ge=-1, le=1)]
Evidence = Literal["interval", "estimate"]
Metric = Literal["accuracy", "consistency"]

TOLERATED_ERRORS = 0.02
"""Questions that could not be asked count neither way; above this share of them there is too little to judge by."""


def _bounds(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    low, high = options["min"], options["max"]
    if low is None and high is None:
        yield (), "give `min`, `max` or both"
    elif low is not None and high is not None and low > high:
        yield ("max",), f"`max` {high:g} is below `min` {low:g}"


def _of_metric(options: Mapping[str, Any]) -> api.Needs:
    return api.Needs(repeats=options.get("metric", options.get("name")) == "consistency")


@api.gate(rules=[_bounds])
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

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = _score(evaluation, model, slice)
        if isinstance(score, str):
            return _unmeasured("accuracy", score)
        measured = api.Measured(value=score.accuracy, interval=score.interval, n=score.prompts)
        if grader:
            if grader not in score.graders:
                return _unmeasured("accuracy", f"there is no grader '{grader}': there are {', '.join(score.graders)}")
            measured = score.measures.get(grader, api.Measured(value=score.graders[grader]))
        of = (f" of grader '{grader}'" if grader else "") + _in(slice)
        what = f"accuracy{of} of the {model} model is {measured.value:.3f}{_interval(measured.interval)}"
        return api.decide("accuracy", what, measured, low=min, high=max, rule=evidence, worst=score.worst)

    return judge


@api.gate(needs=lambda options: api.Needs(repeats=True))
def consistency(*, min: Share, model: str = "tuned", slice: str = "", evidence: Evidence = "interval") -> api.Gate:
    """The share of pairs of repeats of one prompt that get the same verdict is at least `min`; see `accuracy`."""

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = _score(evaluation, model, slice)
        if trouble := score if isinstance(score, str) else _repeats(score):
            return _unmeasured("consistency", trouble)
        assert isinstance(score, api.Score)
        measured = api.Measured(value=score.consistency or 0.0, interval=score.consistency_interval, n=score.prompts)
        what = f"consistency{_in(slice)} of the {model} model is {measured.value:.3f}{_interval(measured.interval)}"
        return api.decide("consistency", what, measured, low=min, rule=evidence, worst=score.worst)

    return judge


@api.gate(needs=_of_metric)
def gain(
    *,
    min: Difference,
    metric: Metric = "accuracy",
    model: str = "tuned",
    against: str = "base",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """The model's metric minus the other model's is at least `min`, over the prompts that both answered.

    Args:
        slice: only the prompts with this tag.
        evidence: interval: the whole 95 percent interval of the difference must be at least `min`. Where the two do not
            differ, a gate with `min: 0` then passes in fewer than 5 of 100 runs. estimate: the difference decides.
    """

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        before, after = _score(evaluation, against, slice), _score(evaluation, model, slice)
        if isinstance(before, str) or isinstance(after, str):
            return _unmeasured("gain", before if isinstance(before, str) else str(after))
        if trouble := (_repeats(before) or _repeats(after)) if metric == "consistency" else "":
            return _unmeasured("gain", trouble)
        old, new = getattr(before, metric), getattr(after, metric)
        compared = _compared(evaluation, model, against, metric, slice)
        measured = _difference(evaluation, compared, new - old, metric, (model, against, slice))
        names = "" if (model, against) == ("tuned", "base") else f" from the {against} to the {model} model"
        what = (
            f"{metric}{_in(slice)} changed{names} by {measured.value:+.3f}{_interval(measured.interval)}, "
            f"from {old:.3f} to {new:.3f}"
        )
        lost = compared.worst if compared and compared.worst else after.worst
        return api.decide("gain", what, measured, low=min, rule=evidence, worst=lost)

    return judge


@api.gate(rules=[_bounds], needs=_of_metric)
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

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = _score(evaluation, model, slice)
        measured = score if isinstance(score, str) else _named(score, name)
        if isinstance(measured, str) or isinstance(score, str):
            return _unmeasured("metric", str(measured))
        what = f"{name}{_in(slice)} of the {model} model is {measured.value:.3f}{_interval(measured.interval)}"
        return api.decide("metric", what, measured, low=min, high=max, rule=evidence, worst=score.worst)

    return judge


@api.gate(needs=_of_metric)
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

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = _score(evaluation, model, "")
        if trouble := score if isinstance(score, str) else _slices_missing(score, only):
            return _unmeasured("slices", trouble)
        assert isinstance(score, api.Score)
        tags = only or list(score.slices)
        gate = globals()[metric].factory
        verdicts = [gate(min=min, model=model, slice=tag, evidence=evidence)(evaluation) for tag in tags]
        return _weakest("slices", verdicts)

    return judge


@api.gate
def latency(
    *,
    max: Annotated[float, Meta(gt=0)],
    percentile: Literal[50, 95] = 95,
    model: str = "tuned",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """The percentile of the seconds that one answer takes is at most `max`."""

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = _score(evaluation, model, slice)
        if isinstance(score, str):
            return _unmeasured("latency", score)
        measured = score.latency_p50 if percentile == 50 else score.latency_p95
        if measured is None:
            return _unmeasured("latency", f"the {model} model does not tell how long an answer takes")
        of = f"p{percentile} latency{_in(slice)} of the {model} model"
        if measured.interval is None and evidence == "interval" and measured.value <= max:
            why = f"{of}: {measured.n:,} prompts are too few to tell, about {ENOUGH[percentile]} would"
            return api.Verdict(
                gate="latency", passed=False, measured=measured.value, message=why,
                outcome="INSUFFICIENT_EVIDENCE", needed=ENOUGH[percentile],
            )  # fmt: skip
        what = f"{of} is {measured.value:.3f} s{_interval(measured.interval)}"
        return api.decide("latency", what, measured, high=max, rule=evidence, worst=score.slowest)

    return judge


ENOUGH = {50: 6, 95: 72}
"""The fewest measurements whose largest lies above the percentile with 97.5 percent confidence: q**n <= 0.025."""


@api.gate
def cost(
    *,
    max: Annotated[float, Meta(ge=0)],
    per: Literal["answer", "evaluation"] = "answer",
    model: str = "tuned",
    slice: str = "",
) -> api.Gate:
    """What answers cost is at most `max`, in USD: of one answer on average, or of the evaluation. It is counted, not
    estimated."""

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = _score(evaluation, model, slice)
        if isinstance(score, str):
            return _unmeasured("cost", score)
        answers = score.prompts * score.repeats - score.errors
        if score.cost is None or not answers:
            return _unmeasured("cost", f"what answers of the {model} model cost is not known")
        value = score.cost / answers if per == "answer" else score.cost
        what = f"cost{_in(slice)} of the {model} model is {value:.6f} USD per {per}"
        return api.decide("cost", what, api.Measured(value=value), high=max, worst=score.dearest)

    return judge


@api.gate(needs=lambda options: api.Needs(accepted=True, repeats=_of_metric(options).repeats))
def regression(
    *,
    max_drop: Share = 0.05,
    metric: Metric = "accuracy",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """The tuned model's metric is at most `max_drop` below that of the last accepted run of this spec.

    Accepted is the last run whose gates passed, or that `ftspec accept` names. Its answers are graded as this run's, on
    the prompts that both were asked. The first run passes: there is nothing to lose yet.

    Args:
        max_drop: how much less is still accepted, e.g. 0.05 for 5 points. The less, the more prompts it takes.
        evidence: interval: the whole 95 percent interval of the change must be above the drop.
    """

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        if not evaluation.accepted:
            message = "no run of this spec was accepted yet: there is nothing to fall behind"
            return api.Verdict(gate="regression", passed=True, measured=None, message=message)
        return _dropped("regression", evaluation, ("tuned", "accepted"), metric, slice, max_drop, evidence)

    return judge


@api.gate(needs=lambda options: api.Needs(suite="general"))
def forgetting(*, max_drop: Share = 0.1, evidence: Evidence = "interval") -> api.Gate:
    """The tuned model answers at most `max_drop` fewer of the general questions that ship with ftspec than its base.

    They are short facts, sums, and instructions, asked of both models with greedy decoding, and count in no other
    number. docs/statistics.md says what they are.

    Args:
        max_drop: how much less is still accepted, e.g. 0.1 for 10 points.
        evidence: interval: the whole 95 percent interval of the change must be above the drop.
    """

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        general = evaluation.suites.get("general")
        if general is None:
            return _unmeasured("forgetting", "the general questions were not asked")
        return _dropped("forgetting", general, ("tuned", "base"), "accuracy", "", max_drop, evidence)

    return judge


def _dropped(
    gate: str,
    evaluation: api.Evaluation,
    pair: tuple[str, str],
    metric: str,
    slice: str,
    max_drop: float,
    evidence: Evidence,
) -> api.Verdict:
    label, against = pair
    before, after = _score(evaluation, against, slice), _score(evaluation, label, slice)
    if isinstance(before, str) or isinstance(after, str):
        return _unmeasured(gate, before if isinstance(before, str) else str(after))
    compared = _compared(evaluation, label, against, metric, slice)
    if compared is None or not compared.prompts:
        return _unmeasured(gate, f"the {label} and the {against} model have no {metric} on the same prompts")
    old, new = getattr(before, metric), getattr(after, metric)
    measured = api.Measured(value=compared.difference, interval=compared.interval, n=compared.prompts)
    name = "general accuracy" if gate == "forgetting" else f"{metric}{_in(slice)}"
    seen = f"; the smallest change that {compared.prompts:,} prompts show is {compared.detectable or 0.0:.3f}"
    what = f"{name} changed by {measured.value:+.3f}{_interval(measured.interval)} from the {against} model's {old:.3f}"
    return api.decide(gate, f"{what} to {new:.3f}{seen}", measured, low=-max_drop, rule=evidence, worst=compared.worst)


def _score(evaluation: api.Evaluation, model: str, slice: str) -> api.Score | str:
    """The model's score, of a slice where one is named; or why there is none to judge by."""
    score = evaluation.scores.get(model, getattr(evaluation, model, None) if model in ("base", "tuned") else None)
    if score is None:
        return f"there is no model '{model}': there are {', '.join(evaluation.scores)}"
    asked = score.prompts * score.repeats
    if not asked:
        return "there were no prompts: see `eval.prompts`" if not evaluation.scores else f"there is no {model} model"
    if score.errors > TOLERATED_ERRORS * asked:
        return f"{score.errors} of {asked} questions to the {model} model failed: run again, which asks only those"
    if slice:
        return score.slices.get(slice) or _slices_missing(score, [slice])
    return score


def _slices_missing(score: api.Score, wanted: list[str]) -> str:
    if not score.slices:
        return "no prompt has a tag, so there are no slices: see `eval.tags`"
    missing = [tag for tag in wanted if tag not in score.slices]
    known = ", ".join(list(score.slices)[:20])
    return f"there is no slice '{missing[0]}': there are {known}" if missing else ""


def _named(score: api.Score, name: str) -> api.Measured | str:
    """A metric by its name, or why it was not measured."""
    if name == "accuracy":
        return api.Measured(value=score.accuracy, interval=score.interval, n=score.prompts)
    if name == "consistency":
        interval = score.consistency_interval
        return _repeats(score) or api.Measured(value=score.consistency or 0.0, interval=interval, n=score.prompts)
    if found := re.fullmatch(r"pass([@^])(\d+)", name):
        passes, k = score.pass_at if found[1] == "@" else score.pass_all, int(found[2])
        return passes[k - 1] if 0 < k <= len(passes) else f"{name} needs `repeat` of {k} or more, and a `temperature`"
    known = {**score.measures, **score.metrics}
    return known.get(name) or f"there is no metric '{name}': there are accuracy, consistency, {', '.join(known)}"


def _compared(evaluation: api.Evaluation, label: str, against: str, metric: str, slice: str) -> api.Comparison | None:
    found = evaluation.comparison(label, against, metric)
    return found.slices.get(slice) if found and slice else found


def _difference(
    evaluation: api.Evaluation,
    compared: api.Comparison | None,
    change: float,
    metric: str,
    which: tuple[str, str, str],
) -> api.Measured:
    """The paired difference; of an evaluation from before there were comparisons, what it has."""
    if compared:
        return api.Measured(value=compared.difference, interval=compared.interval, n=compared.prompts)
    told = metric == "accuracy" and which == ("tuned", "base", "")
    return api.Measured(value=change, interval=evaluation.gain_interval if told else None, n=evaluation.tuned.prompts)


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


_WORDS = {"PASS": "pass", "FAIL": "fail", "INSUFFICIENT_EVIDENCE": "have too few prompts to tell"}


def _repeats(score: api.Score) -> str:
    return (
        "" if score.consistency is not None else "consistency needs `repeat` of 2 or more and a `temperature` above 0"
    )


def _in(slice: str) -> str:
    return f" of slice '{slice}'" if slice else ""


def _interval(interval: api.Interval | None) -> str:
    return f" (95% interval {interval.low:.3f} to {interval.high:.3f})" if interval else ""


def _unmeasured(gate: str, why: str) -> api.Verdict:
    return api.Verdict(gate=gate, passed=False, measured=None, message=f"not measured: {why}")


COMPONENTS: dict[str, api.Component] = {
    component.name: component
    for component in (accuracy, consistency, gain, metric, slices, latency, cost, regression, forgetting)
}
