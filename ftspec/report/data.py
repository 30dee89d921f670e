"""What a report is made of: one record, filled by the runner, that round-trips through report.json."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ftspec.common.errors import Finding
from ftspec.common.evaluation import Evaluation, Grade, Verdict
from ftspec.common.jobs import Estimate, ModelRef, Size, TrainingEvent, TunedModel
from ftspec.common.messages import Generation, Message, Prompt
from ftspec.common.records import Input, Plan, Record, RunInfo, StepCount
from ftspec.costs.costs import Serving
from ftspec.costs.spending import Spent
from ftspec.grading.gates import passed
from ftspec.grading.grade import Answered
from ftspec.tuning.diagnosis import Diagnosis

SCHEMA = 1
"""Version of report.json. It is raised when a field changes its meaning or goes away, not when one is added."""

MOST_FAILED = 1500
"""So many cases that did not pass are in a report at the most, the worst ones;"""
MOST_OTHERS = 500
"""and so many of the others. answers.parquet holds every answer."""

Outcome = Literal["fixed", "regressed", "failed", "passed"]


class Said(Record):
    """One graded answer. `grades` holds each grader's opinion by its id; `error` is set where no answer was given, and
    `unjudged` where a judge has no verdict on the one that was: neither counts as passed or as failed."""

    text: str
    passed: bool
    repeat: int = 0
    tool_calls: list[dict[str, Any]] | None = None
    grades: dict[str, Grade] = {}
    finish_reason: str = ""
    error: str = ""
    unjudged: str = ""


class Near(Record):
    """A training row that is like a case: where it stands, what it says, and how like it is (0 to 1)."""

    origin: str
    text: str
    similarity: float


class Case(Record):
    """One prompt with what each model said to it, a Said per repeat; `further` holds the others than base and tuned."""

    id: str
    messages: list[Message]
    expected: str | None = None
    origin: str = ""
    base: tuple[Said, ...] = ()
    tuned: tuple[Said, ...] = ()
    tags: tuple[str, ...] = ()
    further: dict[str, tuple[Said, ...]] = {}
    nearest: tuple[Near, ...] = ()

    @property
    def sides(self) -> dict[str, tuple[Said, ...]]:
        """What each model said, by its label: base and tuned first."""
        named = {"base": self.base, "tuned": self.tuned, **self.further}
        return {label: said for label, said in named.items() if said}

    @property
    def judged(self) -> tuple[Said, ...]:
        """What the model said that the evaluation is about: the tuned one, or where there is none the base."""
        return self.tuned or self.base

    @property
    def change(self) -> float:
        """How much more often the tuned model passes than the base model, from -1 to 1."""
        return rate(self.tuned) - rate(self.base) if self.tuned and self.base else 0.0

    @property
    def failed(self) -> bool:
        """Whether the model that the evaluation is about did not pass every time."""
        return not all(said.passed for said in self.judged)

    @property
    def outcome(self) -> Outcome:
        """fixed: passes more often than with the base model; regressed: less often; else whether it passes always."""
        if self.change:
            return "fixed" if self.change > 0 else "regressed"
        return "failed" if self.failed else "passed"


class ReportData(Record):
    """Everything a report shows. What a run did not get to stays empty and is left out of the report.

    Args:
        spec: the spec's path as the user gave it; `spec_sha256` is its text's.
        evaluation: None where the spec has no `eval`, then there are no cases either.
        cases: the worst and a sample of the others, out of `cases_total`, of which `cases_failed` did not pass every
            time. answers.parquet beside the report holds every answer.
        checks: names of the data checks that ran, in order; what they found is in `findings`.
        findings_total: how many there were, where `findings` is bounded.
        sides: rows per side of the split ("train", "validation", "test", "prompt").
        template: the format's name and options: what serving has to use too.
        estimate, cost: what the provider said before, and what it billed, where it says.
        spending: what the run has spent, by part; `serving`: what 1,000 answers cost with base, tuned and larger model.
        versions: distribution name to version, of everything that had a part.
        timings: seconds of wall time per phase, in order.
        watermark: shown on everything, e.g. "simulated".
    """

    name: str
    run: RunInfo
    schema: int = SCHEMA
    ftspec: str = ""
    spec: str = ""
    spec_sha256: str = ""
    plan: Plan | None = None
    watermark: str = ""
    verdicts: tuple[Verdict, ...] = ()
    evaluation: Evaluation | None = None
    generation: Generation | None = None
    cases: tuple[Case, ...] = ()
    cases_total: int = 0
    cases_failed: int = 0
    training: tuple[TrainingEvent, ...] = ()
    diagnosis: Diagnosis | None = None
    counts: tuple[StepCount, ...] = ()
    sides: dict[str, int] = {}
    size: Size | None = None
    checks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    findings_total: int = 0
    provider: str = ""
    model: ModelRef | None = None
    tuned: TunedModel | None = None
    method: str = ""
    method_options: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    template: dict[str, Any] = {}
    data_digest: str = ""
    inputs: tuple[Input, ...] = ()
    versions: dict[str, str] = {}
    digests: dict[str, str] = {}
    estimate: Estimate | None = None
    cost: float | None = None
    spending: Spent | None = None
    serving: tuple[Serving, ...] = ()
    timings: dict[str, float] = {}

    @property
    def passed(self) -> bool:
        """Whether no gate and no check says no, warnings apart."""
        return passed(self.verdicts) and not any(finding.severity == "error" for finding in self.findings)


class Cases(NamedTuple):
    """The cases that a report holds, out of how many, and how many of all did not pass every time."""

    kept: tuple[Case, ...] = ()
    total: int = 0
    failed: int = 0


def cases(prompts: Sequence[Prompt], answered: Mapping[str, Answered]) -> Cases:
    """The worst cases and an even sample of the others, in the prompts' order; `answered` is by the model's label.

    Only the cases that are kept are ever made: of the others no more is held than how often they passed.
    """
    passes = {label: _passes(given) for label, given in answered.items()}
    about = passes.get("tuned") or passes.get("base") or next(iter(passes.values()), {})
    before = passes.get("base", {}) if "tuned" in passes else {}
    ranked = sorted((share - before.get(prompt, share), share, prompt) for prompt, share in about.items())
    failed = [prompt for change, share, prompt in ranked if share < 1 or change < 0]
    rest = [prompt for change, share, prompt in ranked if not (share < 1 or change < 0)]
    kept = {*failed[:MOST_FAILED], *rest[:: -(-len(rest) // MOST_OTHERS) or 1]}
    said = {label: _said(given, kept) for label, given in answered.items()}
    found = {prompt.id: prompt for prompt in prompts if prompt.id in kept}
    return Cases(tuple(_case(prompt, said) for prompt in found.values()), len(about), len(failed))


def _passes(answered: Answered) -> dict[str, float]:
    """The share of its answers that pass, by prompt; one without an answer has not passed."""
    tally: dict[str, list[int]] = {}
    for graded in answered.graded:
        count = tally.setdefault(graded.prompt, [0, 0])
        count[0] += graded.passed
        count[1] += 1
    return {prompt: passed / asked for prompt, (passed, asked) in tally.items()}


def _case(prompt: Prompt, said: Mapping[str, Mapping[str, Sequence[Said]]]) -> Case:
    sides = {label: tuple(given.get(prompt.id, ())) for label, given in said.items()}
    return Case(
        id=prompt.id,
        messages=prompt.messages,
        expected=prompt.expected,
        origin=prompt.origin,
        tags=prompt.tags,
        base=sides.pop("base", ()),
        tuned=sides.pop("tuned", ()),
        further=sides,
    )


def _said(answered: Answered, kept: Container[str]) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for answer, graded in zip(answered.answers, answered.graded, strict=True):
        if answer.prompt in kept:
            said = Said(
                text=answer.text,
                passed=graded.passed,
                repeat=answer.repeat,
                tool_calls=answer.tool_calls,
                grades=graded.grades,
                finish_reason=answer.finish_reason,
                error=answer.error,
                unjudged="" if answer.error else graded.error,
            )
            found.setdefault(answer.prompt, []).append(said)
    return found


def rate(answers: Iterable[Said]) -> float:
    """The share of the answers with a verdict that pass."""
    given = [said.passed for said in answers if not said.error and not said.unjudged]
    return sum(given) / len(given) if given else 0.0
