"""Gates on how far two models are apart: gain, regression, forgetting. They compare prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ftspec import api
from ftspec.builtin.gates.scores import (
    Evidence,
    Metric,
    Share,
    UnmeasuredError,
    consistency_of,
    judging,
    of_metric,
    of_slice,
    score_of,
    shown,
)

CODE = ["ftspec.builtin.gates.scores"]

Difference = Annotated[float, Meta(ge=-1, le=1)]


def _of_gain(options: Mapping[str, Any]) -> api.Needs:
    return msgspec.structs.replace(of_metric(options), compared=(options["model"], options["against"]))


def _two(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if options["model"] == options["against"]:
        yield ("against",), f"the {options['model']} model is compared with itself"


@api.gate(needs=_of_gain, rules=[_two], code=CODE)
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

    @judging("gain")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        before, after = score_of(evaluation, against, slice), score_of(evaluation, model, slice)
        old, new = _figure(before, metric), _figure(after, metric)
        compared = _compared(evaluation, model, against, metric, slice)
        measured = _difference(evaluation, compared, new - old, metric, (model, against, slice))
        names = "" if (model, against) == ("tuned", "base") else f" from the {against} to the {model} model"
        alike = compared is None or before.prompts == after.prompts
        levels = _levels(old, new) if alike else _over(measured)
        change = f"{api.beside(measured.value, min, style='+')}{shown(measured.interval, min)}"
        what = f"{metric}{of_slice(slice)} changed{names} by {change}, {levels}"
        lost = compared.worst if compared and compared.worst else after.worst
        return api.decide("gain", what, measured, low=min, rule=evidence, worst=lost)

    return judge


def _figure(score: api.Score, metric: Metric) -> float:
    return consistency_of(score) if metric == "consistency" else score.accuracy


def _difference(
    evaluation: api.Evaluation,
    compared: api.Comparison | None,
    change: float,
    metric: str,
    which: tuple[str, str, str],
) -> api.Measured:
    """The paired difference; of an evaluation from before there were comparisons, what it has."""
    if compared:
        return _measured(compared)
    if evaluation.comparisons:
        raise UnmeasuredError(f"the {which[0]} and the {which[1]} model have no {metric} on the same prompts")
    told = metric == "accuracy" and which == ("tuned", "base", "")
    return api.Measured(value=change, interval=evaluation.gain_interval if told else None, n=evaluation.tuned.prompts)


@api.gate(needs=lambda options: api.Needs(accepted=True, repeats=of_metric(options).repeats), code=CODE)
def regression(
    *,
    max_drop: Share = 0.05,
    metric: Metric = "accuracy",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """The tuned model's metric is at most `max_drop` below that of the last accepted run of this spec.

    Accepted is the last run whose gates passed, unless it was made with `--no-accept`, or that `ftspec accept` names.
    Its answers are graded as this run's, on the prompts that both were asked, in whatever words the spec's `format`
    puts them. The first run passes: there is nothing to lose yet. So does one that a person has accepted, and one whose
    model is that of the accepted run.

    Args:
        max_drop: how much less is still accepted, e.g. 0.05 for 5 points. The less, the more prompts it takes.
        evidence: interval: the whole 95 percent interval of the change must be above the drop.
    """

    @judging("regression")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        if nothing := _nothing_lost(evaluation):
            return api.Verdict(gate="regression", passed=True, measured=None, message=nothing)
        if "accepted" not in evaluation.scores:
            raise UnmeasuredError(
                f"the accepted run {evaluation.accepted} has answered none of these prompts; if this run is to be what "
                "later ones are compared with, say so: `ftspec accept`, and run again"
            )
        return _dropped("regression", evaluation, ("tuned", "accepted"), metric, slice, max_drop, evidence)

    return judge


def _nothing_lost(evaluation: api.Evaluation) -> str:
    """Why there is nothing to compare; "" where there is."""
    if evaluation.unfallen == "hand":
        return "a person has accepted this run (`ftspec accept`), whatever it falls behind"
    if evaluation.unfallen == "same":
        return f"this is the model of the accepted run {evaluation.accepted}: there is nothing to fall behind"
    return "" if evaluation.accepted else "no run of this spec was accepted yet: there is nothing to fall behind"


@api.gate(needs=lambda options: api.Needs(suite="general"), code=CODE)
def forgetting(*, max_drop: Share = 0.1, evidence: Evidence = "interval") -> api.Gate:
    """The tuned model answers at most `max_drop` fewer of the general questions that ship with ftspec than its base.

    They are short facts, sums, and instructions, asked of both models with greedy decoding, and count in no other
    number. docs/statistics.md says what they are.

    Args:
        max_drop: how much less is still accepted, e.g. 0.1 for 10 points.
        evidence: interval: the whole 95 percent interval of the change must be above the drop.
    """

    @judging("forgetting")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        general = evaluation.suites.get("general")
        if general is None:
            raise UnmeasuredError("the general questions were not asked")
        if (known := score_of(general, "base").accuracy) <= max_drop:
            raise UnmeasuredError(
                f"the base model answers {api.beside(known, max_drop)} of the general questions, no more than the "
                f"allowed drop of {max_drop:g}: a model that has forgotten all would pass; allow less, or leave the "
                "gate out"
            )
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
    before, after = score_of(evaluation, against, slice), score_of(evaluation, label, slice)
    compared = _compared(evaluation, label, against, metric, slice)
    if compared is None or not compared.prompts:
        raise UnmeasuredError(f"the {label} and the {against} model have no {metric} on the same prompts")
    old, new = getattr(before, metric), getattr(after, metric)
    measured = _measured(compared)
    name = "general accuracy" if gate == "forgetting" else f"{metric}{of_slice(slice)}"
    of = f" (of {evaluation.accepted_of})" if evaluation.accepted_of else ""
    earlier = f"since the accepted run {evaluation.accepted}{of}"
    since = earlier if against == "accepted" else f"from the {against} model"
    levels = _levels(old, new) if before.prompts == after.prompts else _over(measured)
    change = f"{api.beside(measured.value, -max_drop, style='+')}{shown(measured.interval, -max_drop)}"
    what = f"{name} changed by {change} {since}, {levels}"
    verdict = api.decide(gate, what, measured, low=-max_drop, rule=evidence, worst=compared.worst)
    if verdict.outcome == "FAIL":
        more = -max_drop - measured.value
        return msgspec.structs.replace(
            verdict, message=f"{what}: {api.beside(more, 0)} more than the allowed drop of {max_drop:g}"
        )
    seen = f"the smallest change that {compared.prompts:,} prompts show is {compared.detectable or 0.0:.3f}"
    return msgspec.structs.replace(verdict, message=f"{verdict.message}; {seen}")


def _measured(compared: api.Comparison) -> api.Measured:
    return api.Measured(value=compared.difference, interval=compared.interval, n=compared.prompts, pairs=compared.pairs)


def _levels(old: float, new: float) -> str:
    apart = bool(round(new - old, 9))
    before, after = (api.beside(one, other if apart else None, 0.0, 1.0) for one, other in ((old, new), (new, old)))
    return f"from {before} to {after}"


def _over(measured: api.Measured) -> str:
    """Where one model was asked more than the other, what each reached says nothing about the change."""
    return f"over the {measured.n:,} prompts that both answered"


def _compared(evaluation: api.Evaluation, label: str, against: str, metric: str, slice: str) -> api.Comparison | None:
    found = evaluation.comparison(label, against, metric)
    return found.slices.get(slice) if found and slice else found


COMPONENTS: dict[str, api.Component] = {component.name: component for component in (gain, regression, forgetting)}
