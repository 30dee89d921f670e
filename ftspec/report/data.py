"""What a report is made of: one record, filled by the runner, that round-trips through report.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ftspec.diagnosis import Diagnosis
from ftspec.errors import Finding
from ftspec.gates import passed
from ftspec.grade import Answered
from ftspec.provider import Estimate, Generation, Message, ModelRef, Prompt, Size, TrainingEvent, TunedModel
from ftspec.records import Evaluation, Grade, Input, Plan, Record, RunInfo, StepCount, Verdict

SCHEMA = 1
"""Version of report.json. It is raised when a field changes its meaning or goes away, not when one is added."""

Outcome = Literal["fixed", "regressed", "failed", "passed"]


class Said(Record):
    """One graded answer. `grades` holds each grader's opinion by its id; `error` is set where no answer was given."""

    text: str
    passed: bool
    repeat: int = 0
    tool_calls: list[dict[str, Any]] | None = None
    grades: dict[str, Grade] = {}
    finish_reason: str = ""
    error: str = ""


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

    @property
    def change(self) -> float:
        """How much more often the tuned model passes than the base model, from -1 to 1."""
        return _rate(self.tuned) - _rate(self.base)

    @property
    def failed(self) -> bool:
        """Whether the tuned model did not pass every time."""
        return not all(said.passed for said in self.tuned)

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
        checks: names of the data checks that ran, in order; what they found is in `findings`.
        findings_total: how many there were, where `findings` is bounded.
        sides: rows per side of the split ("train", "validation", "test", "prompt").
        template: the format's name and options: what serving has to use too.
        estimate, cost: what the provider said before, and what it billed, where it says.
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
    timings: dict[str, float] = {}

    @property
    def passed(self) -> bool:
        """Whether no gate and no check says no, warnings apart."""
        return passed(self.verdicts) and not any(finding.severity == "error" for finding in self.findings)


def cases(prompts: Sequence[Prompt], answered: Mapping[str, Answered]) -> tuple[Case, ...]:
    """A Case per prompt, in order; `answered` is by the model's label."""
    said = {label: _said(given) for label, given in answered.items()}
    return tuple(_case(prompt, said) for prompt in {prompt.id: prompt for prompt in prompts}.values())


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


def _said(answered: Answered) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for answer, graded in zip(answered.answers, answered.graded, strict=True):
        found.setdefault(answer.prompt, []).append(
            Said(
                text=answer.text,
                passed=graded.passed,
                repeat=answer.repeat,
                tool_calls=answer.tool_calls,
                grades=graded.grades,
                finish_reason=answer.finish_reason,
                error=answer.error,
            )
        )
    return found


def _rate(answers: Iterable[Said]) -> float:
    given = [said.passed for said in answers if not said.error]
    return sum(given) / len(given) if given else 0.0
