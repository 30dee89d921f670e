"""Data-only records that several rooms share: what a plan says, what a run did, what an evaluation found.

All are immutable and round-trip through JSON, so that the journal, `--format json` and the report show the same thing.
"""

from __future__ import annotations

from typing import Any, Literal, dataclass_transform

import msgspec

from ftspec.errors import Severity


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of ftspec's records: data only, immutable."""


class Input(Record):
    """One file that the spec refers to: its path relative to the spec, its content's sha256, its size in bytes."""

    path: str
    sha256: str
    bytes: int


class Step(Record):
    """One step of a plan.

    `keys` maps everything the digest covers to a short value or hash, so that two plans can be told apart by name.
    `why` says why a step that is not cached has to run; it is empty for a cached one.
    """

    name: str
    digest: str
    keys: dict[str, str]
    cached: bool = False
    why: tuple[str, ...] = ()


class Plan(Record):
    """What a run will do. `digest` identifies it, and so the run: the same plan continues the same run."""

    name: str
    spec: str
    run: str
    digest: str
    steps: tuple[Step, ...]
    inputs: tuple[Input, ...] = ()
    watermark: str = ""


RunState = Literal["running", "detached", "done", "failed", "gate_failed", "cancelled", "interrupted", "damaged"]


class RunInfo(Record):
    """A run as observers and `ftspec runs` see it.

    `ftspec runs` calls it interrupted when its journal leaves it running and no process on this machine works on it,
    and damaged when the journal cannot be read.
    """

    id: str
    name: str
    spec: str
    state: RunState = "running"
    phase: str = ""
    started: float = 0.0
    finished: float | None = None
    report: str = ""


class Event(Record):
    """One decision in a run's journal: `number` counts from 1, `at` is seconds since the epoch."""

    number: int
    at: float
    writer: str
    kind: str
    data: dict[str, Any] = {}


class StepCount(Record):
    """What one step of the data pipeline did to the rows that reached it."""

    name: str
    rows_in: int
    rows_out: int
    changed: int = 0
    seconds: float = 0.0
    reasons: dict[str, int] = {}
    samples: tuple[dict[str, Any], ...] = ()
    """A few rows that it dropped or changed: {"row", "origin", "before", "after"}; texts are as after redaction."""


class Grade(Record):
    """One grader's opinion of one answer. `score` is between 0 and 1; `reason` says why, for people."""

    passed: bool
    score: float | None = None
    reason: str = ""


class Interval(Record):
    """A two-sided 95 percent confidence interval of a proportion or a difference of two."""

    low: float
    high: float


Quadrant = Literal["reliable and repeatable", "right but inconsistent", "repeatedly wrong", "neither", "not measured"]


class Score(Record):
    """How one model did on the prompts.

    `accuracy` is the share of answers that pass. `consistency` is the share of pairs of repeats of one prompt that got
    the same verdict (None with one repeat or greedy decoding). `graders` maps a grader's id to its own pass rate.
    """

    model: str
    prompts: int
    repeats: int
    accuracy: float
    interval: Interval
    consistency: float | None = None
    consistency_interval: Interval | None = None
    quadrant: Quadrant = "not measured"
    graders: dict[str, float] = {}
    errors: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Evaluation(Record):
    """Base and tuned model on the same prompts. `gain` is tuned minus base accuracy."""

    base: Score
    tuned: Score
    gain: float
    gain_interval: Interval


class Verdict(Record):
    """What a gate said. `measured` is None where the metric was not measured, and then the gate does not pass.

    `severity` comes from the spec's item: a gate that only warns does not fail the run.
    """

    gate: str
    passed: bool
    measured: float | None
    message: str
    severity: Severity = "error"
