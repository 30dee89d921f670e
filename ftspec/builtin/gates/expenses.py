"""Gates on what answers take: seconds and money."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ftspec import api
from ftspec.builtin.gates.scores import Evidence, UnmeasuredError, judging, of_slice, score_of, shown

CODE = ["ftspec.builtin.gates.scores"]

ENOUGH = {50: 6, 95: 72}
"""The fewest measurements whose largest lies above the percentile with 97.5 percent confidence: q**n <= 0.025."""


@api.gate(code=CODE)
def latency(
    *,
    max: Annotated[float, Meta(gt=0)],
    percentile: Literal[50, 95] = 95,
    model: str = "tuned",
    slice: str = "",
    evidence: Evidence = "interval",
) -> api.Gate:
    """The percentile of the seconds that one answer takes is at most `max`."""

    @judging("latency")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = score_of(evaluation, model, slice)
        measured = score.latency_p50 if percentile == 50 else score.latency_p95
        if measured is None:
            raise UnmeasuredError(f"the {model} model does not tell how long an answer takes")
        of = f"p{percentile} latency{of_slice(slice)} of the {model} model"
        if measured.interval is None and evidence == "interval" and measured.value <= max:
            few = "1 prompt is" if measured.n == 1 else f"{measured.n:,} prompts are"
            why = f"{of}: {few} too few to tell, about {ENOUGH[percentile]} would"
            return api.Verdict(
                gate="latency", passed=False, measured=measured.value, message=why,
                outcome="INSUFFICIENT_EVIDENCE", needed=ENOUGH[percentile],
            )  # fmt: skip
        what = f"{of} is {api.beside(measured.value, max)} s{shown(measured.interval, max)}"
        return api.decide("latency", what, measured, high=max, rule=evidence, worst=score.slowest)

    return judge


@api.gate(code=CODE)
def cost(
    *,
    max: Annotated[float, Meta(ge=0)],
    per: Literal["answer", "evaluation"] = "answer",
    model: str = "tuned",
    slice: str = "",
) -> api.Gate:
    """What answers cost is at most `max`, in USD: of one answer on average, or of the evaluation. It is counted, not
    estimated: where it is not known of some answers, only too much can be told."""

    @judging("cost")
    def judge(evaluation: api.Evaluation) -> api.Verdict:
        score = score_of(evaluation, model, slice)
        answers = score.priced + score.unpriced or score.prompts * score.repeats - score.errors
        if score.cost is None or not answers:
            raise UnmeasuredError(f"what answers of the {model} model cost is not known")
        value = score.cost / answers if per == "answer" else score.cost
        least = "at least " if score.unpriced else ""
        what = f"cost{of_slice(slice)} of the {model} model is {least}{api.beside(value, max, digits=6)} USD per {per}"
        verdict = api.decide("cost", what, api.Measured(value=value), high=max, worst=score.dearest)
        if score.unpriced and verdict.passed:
            raise UnmeasuredError(
                f"what {score.unpriced:,} of {answers:,} answers of the {model} model cost is not known (their tokens "
                f"were not counted); the others cost {score.cost:.6f} USD"
            )
        return verdict

    return judge


COMPONENTS: dict[str, api.Component] = {component.name: component for component in (latency, cost)}
