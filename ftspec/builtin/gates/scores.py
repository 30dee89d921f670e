"""What gates look at of an Evaluation, or why there is nothing to look at; and how they say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, Literal

from msgspec import Meta

from ftspec import api

Share = Annotated[float, Meta(ge=0, le=1)]
Evidence = Literal["interval", "estimate"]
Metric = Literal["accuracy", "consistency"]

TOLERATED_ERRORS = 0.02
"""Questions that could not be asked count neither way; above this share of them there is too little to judge by."""

AGAIN = "run again, which asks only what is missing"
UNCLEAR = "a judge whose replies stay no verdict needs another rubric, `max_tokens` or model"

PASS_K = re.compile(r"pass([@^])([1-9]\d*)")


def of_metric(options: Mapping[str, Any]) -> api.Needs:
    name = options.get("metric", options.get("name", ""))
    found = PASS_K.fullmatch(name)
    return api.Needs(repeats=name == "consistency", answers=int(found[2]) if found else 1)


class UnmeasuredError(Exception):
    """There is nothing to judge by; the message says why."""


def judging(gate: str) -> Callable[[api.Gate], api.Gate]:
    """Decorates a gate's function: where it raises UnmeasuredError, the gate does not pass, and says why."""

    def decorate(judge: api.Gate) -> api.Gate:
        @wraps(judge)
        def verdict(evaluation: api.Evaluation) -> api.Verdict:
            try:
                return judge(evaluation)
            except UnmeasuredError as why:
                return api.Verdict(gate=gate, passed=False, measured=None, message=f"not measured: {why}")

        return verdict

    return decorate


def score_of(evaluation: api.Evaluation, model: str, slice: str = "") -> api.Score:
    """The model's score, of a slice where one is named. Raises UnmeasuredError where there is none to judge by."""
    score = evaluation.scores.get(model, getattr(evaluation, model, None) if model in ("base", "tuned") else None)
    if score is None:
        raise UnmeasuredError(f"there is no model '{model}': there are {', '.join(evaluation.scores)}")
    if not score.prompts * score.repeats:
        none = "there were no prompts: see `eval.prompts`" if not evaluation.scores else f"there is no {model} model"
        raise UnmeasuredError(none)
    if slice:
        need_slices(score, [slice])
    for part, name in ((score, ""), (score.slices.get(slice, score), slice)):
        if part.errors > TOLERATED_ERRORS * part.prompts * part.repeats:
            raise UnmeasuredError(_lost(part, model, name))
    found = score.slices.get(slice, score)
    if found.known is None:
        raise UnmeasuredError(f"no prompt{of_slice(slice)} counts: the weight of each is 0")
    return found


def _lost(score: api.Score, model: str, slice: str) -> str:
    """How many questions have no answer or no verdict, and what to do."""
    why = f", the first with: {score.lost}" if score.lost else ""
    asked = score.prompts * score.repeats
    whose = f"{of_slice(slice)} of the {model} model"
    failed = f"{score.errors} of {asked} answers{whose} are missing or not graded{why}; {AGAIN}"
    return f"{failed}; {UNCLEAR}" if any(use.unclear for use in score.judges) else failed


def need_verdicts(evaluation: api.Evaluation, model: str, grader: str) -> None:
    """Raise UnmeasuredError where a judge of this name had too often no verdict."""
    score = score_of(evaluation, model)
    for use in score.judges:
        silent = use.failed + use.unclear
        if use.grader == grader and silent > TOLERATED_ERRORS * score.prompts * score.repeats:
            raise UnmeasuredError(
                f"the judge of '{grader}' had {silent} times no verdict on the {model} model's answers; {AGAIN}"
                f"{f'; {UNCLEAR}' if use.unclear else ''}"
            )


def need_slices(score: api.Score, wanted: list[str]) -> None:
    """Raise UnmeasuredError unless the score has slices, and these among them."""
    if not score.slices:
        raise UnmeasuredError("no prompt has a tag, so there are no slices: see `eval.tags`")
    missing = [tag for tag in wanted if tag not in score.slices]
    if missing:
        known = ", ".join(list(score.slices)[:20])
        raise UnmeasuredError(f"there is no slice '{missing[0]}': there are {known}")


def consistency_of(score: api.Score) -> float:
    """Raises UnmeasuredError where every prompt was answered once, or always alike."""
    if score.consistency is None:
        raise UnmeasuredError("consistency needs `repeat` of 2 or more and a `temperature` above 0")
    return score.consistency


def of_slice(slice: str) -> str:
    return f" of slice '{slice}'" if slice else ""


def shown(interval: api.Interval | None, *bounds: float | None) -> str:
    if interval is None:
        return ""
    return f" (95% interval {api.beside(interval.low, *bounds)} to {api.beside(interval.high, *bounds)})"


def told(measured: api.Measured, *bounds: float | None) -> str:
    """A share and its interval, so that nobody reads a bound where there is none, nor all or nobody where it is not."""
    ends = (*bounds, 0.0, 1.0)
    return f"{api.beside(measured.value, *ends)}{shown(measured.interval, *ends)}"
