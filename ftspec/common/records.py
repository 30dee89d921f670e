"""Data-only records that several rooms share: what a plan says, what a run did; what was measured is in `evaluation`.

All are immutable and round-trip through JSON, so that the journal, `--format json` and the report show the same thing.
"""

from __future__ import annotations

from typing import Any, Literal, dataclass_transform

import msgspec

DATA, TUNING, BASE, TUNED, REPORT = "data", "tuning", "base answers", "tuned answers", "report"
"""Names of a plan's steps."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of ftspec's records: data only, immutable."""


class Input(Record):
    """One file that the spec refers to: its path relative to the spec, its content's sha256, its size in bytes.

    Of a remote file `path` is its URL, and `mark` what its server names the content by, in the hash's place.
    """

    path: str
    sha256: str
    bytes: int
    mark: str = ""


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


def only_evaluates(run: str, name: str) -> bool:
    """Whether a run of the spec of this name trains nothing: its id begins as `plan.run_name` has it."""
    return run.startswith(f"{name}-eval-")


RunState = Literal[
    "running", "detached", "stopped", "done", "failed", "gate_failed", "cancelled", "interrupted", "damaged"
]


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
