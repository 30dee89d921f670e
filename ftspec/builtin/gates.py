"""Gates: an Evaluation to a Verdict. A metric that was not measured does not pass, and the message says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from ftspec import api

Share = Annotated[float, Meta(ge=0, le=1)]
Difference = Annotated[float, Meta(ge=-1, le=1)]
Which = Literal["tuned", "base"]

TOLERATED_ERRORS = 0.02
"""Questions that could not be asked count neither way; above this share of them there is too little to judge by."""


def _bounds(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    low, high = options["min"], options["max"]
    if low is None and high is None:
        yield (), "give `min`, `max` or both"
    elif low is not None and high is not None and low > high:
        yield ("max",), f"`max` {high:g} is below `min` {low:g}"


@api.gate(rules=[_bounds])
def accuracy(
    *, min: Share | None = None, max: Share | None = None, model: Which = "tuned", grader: str = ""
) -> api.Gate:
    """The share of answers that pass lies within `min` and `max`; of one grader alone when `grader` gives its id."""

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score: api.Score = getattr(evaluation, model)
        if trouble := _errors(score, model):
            return _unmeasured("accuracy", trouble)
        if grader and grader not in score.graders:
            return _unmeasured("accuracy", f"there is no grader '{grader}': there are {', '.join(score.graders)}")
        of = f" of grader '{grader}'" if grader else ""
        measured = score.graders[grader] if grader else score.accuracy
        interval = "" if grader else _interval(score.interval)
        return _within("accuracy", f"accuracy{of} of the {model} model is {measured:.3f}{interval}", measured, min, max)

    return judge


@api.gate
def consistency(*, min: Share, model: Which = "tuned") -> api.Gate:
    """The share of pairs of repeats of one prompt that get the same verdict is at least `min`."""

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score: api.Score = getattr(evaluation, model)
        if trouble := _errors(score, model) or _repeats(score):
            return _unmeasured("consistency", trouble)
        what = f"consistency of the {model} model is {score.consistency:.3f}{_interval(score.consistency_interval)}"
        return _within("consistency", what, score.consistency or 0.0, min, None)

    return judge


@api.gate
def gain(*, min: Difference, metric: Literal["accuracy", "consistency"] = "accuracy") -> api.Gate:
    """The tuned model's metric minus the base model's is at least `min`."""

    def judge(evaluation: api.Evaluation) -> api.Verdict:
        base, tuned = evaluation.base, evaluation.tuned
        trouble = _errors(base, "base") or _errors(tuned, "tuned")
        if metric == "consistency":
            trouble = trouble or _repeats(base) or _repeats(tuned)
        if trouble:
            return _unmeasured("gain", trouble)
        before, after = getattr(base, metric), getattr(tuned, metric)
        interval = _interval(evaluation.gain_interval) if metric == "accuracy" else ""
        what = f"{metric} changed by {after - before:+.3f}{interval}, from {before:.3f} to {after:.3f}"
        return _within("gain", what, after - before, min, None)

    return judge


def _errors(score: api.Score, model: str) -> str:
    asked = score.prompts * score.repeats
    if not asked:
        return "there were no prompts: see `eval.prompts`"
    if score.errors <= TOLERATED_ERRORS * asked:
        return ""
    return f"{score.errors} of {asked} questions to the {model} model failed: run again, which asks only those"


def _repeats(score: api.Score) -> str:
    return (
        "" if score.consistency is not None else "consistency needs `repeat` of 2 or more and a `temperature` above 0"
    )


def _interval(interval: api.Interval | None) -> str:
    return f" (95% interval {interval.low:.3f} to {interval.high:.3f})" if interval else ""


def _unmeasured(gate: str, why: str) -> api.Verdict:
    return api.Verdict(gate=gate, passed=False, measured=None, message=f"not measured: {why}")


def _within(gate: str, what: str, measured: float, low: float | None, high: float | None) -> api.Verdict:
    """Judge as people read it: 0.1 + 0.2 is not above 0.3."""
    rounded = round(measured, 9)
    if low is not None and rounded < low:
        return _verdict(gate, False, measured, f"{what}: {low - measured:.3f} short of the wanted {low:g}")
    if high is not None and rounded > high:
        return _verdict(gate, False, measured, f"{what}: {measured - high:.3f} above the allowed {high:g}")
    bounds = {"at least": low, "at most": high}
    wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)
    return _verdict(gate, True, measured, f"{what}, wanted {wanted}")


def _verdict(gate: str, passed: bool, measured: float, message: str) -> api.Verdict:
    return api.Verdict(gate=gate, passed=passed, measured=measured, message=message)


COMPONENTS: dict[str, api.Component] = {component.name: component for component in (accuracy, consistency, gain)}
