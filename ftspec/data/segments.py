"""The per-batch part of the pipeline: what an engine runs, on any thread, process or machine, in any order.

A Segment is a run of cleaning steps between two global ones; the last one also formats and measures. It is sent to
workers as names and options, and builds its components where it is. It keeps nothing between two batches.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import rows
from ftspec.common.errors import Finding, PluginError
from ftspec.common.faults import kind_of
from ftspec.common.messages import Prompt
from ftspec.common.references import secret_names
from ftspec.contracts.steps import Check, Dropped, GlobalStep
from ftspec.contracts.tuner import Tuner
from ftspec.data import formatted, prompts, split
from ftspec.data.cleaning import Done, Stage, run_format, run_step
from ftspec.data.spool import Held
from ftspec.data.stepping import Runner, runner
from ftspec.items import Tuned, build, culprit, guarded
from ftspec.layout.shapes import Shape
from ftspec.registry import Registry, load
from ftspec.spec import Item, Split

if TYPE_CHECKING:
    import pyarrow as pa


class Outcome(NamedTuple):
    """What a segment made of one batch. `keys` are the next global steps', `measures` the checks', by their order."""

    batch: pa.RecordBatch
    done: list[Done]
    findings: list[Finding]
    keys: tuple[pa.Array, ...] = ()
    key_seconds: tuple[float, ...] = ()
    measures: tuple[Any, ...] = ()
    prompts: list[tuple[int, Prompt]] = []
    reused: int = 0
    """Steps that were not run because the cache knew what they do."""
    held: Held | None = None
    """Where the cache holds the batch."""


def verify_count(who: str, what: str, values: pa.Array, batch: pa.RecordBatch) -> None:
    """Raise PluginError unless there is an array with one value per row."""
    import pyarrow as pa

    if not isinstance(values, pa.Array | pa.ChunkedArray):
        raise PluginError(f"{who} made {kind_of(values)} of {what}; an array with one for each row is wanted")
    if len(values) != batch.num_rows:
        raise PluginError(f"{who} made {len(values)} {what} of {batch.num_rows} rows")


class OfStep:
    """Work of one global step: sent as names and options, built where it is."""

    def __init__(self, folder: Path, registry: Registry, stage: Stage) -> None:
        self.folder, self.stage = folder, stage
        self._registry: Registry | None = registry

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "stage": self.stage, "_registry": None}

    @cached_property
    def registry(self) -> Registry:
        return self._registry or load()

    @property
    def secrets(self) -> set[str]:
        return secret_names(self.stage.item.options)

    @cached_property
    def step(self) -> GlobalStep:
        made: GlobalStep = build(self.stage.item, self.registry, self.folder)
        return made


class Details(OfStep):
    """The details of rows that a global step looks at twice, beside their numbers."""

    def __call__(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        assert self.step.closer is not None
        with guarded(self.stage.item, self.registry):
            details = self.step.closer.details(batch)
        verify_count(culprit(self.stage.item, self.registry), "details", details, batch)
        return batch.column(rows.ROW), details


class Reduction(OfStep):
    """What a global step drops of the rows of some keys, columns row and because."""

    def __call__(self, part: pa.RecordBatch) -> pa.RecordBatch:
        assert self.step.reduce is not None
        with guarded(self.stage.item, self.registry):
            dropped = self.step.reduce(part.column("key"), part.column("row"))
        return columns_of(dropped)


def columns_of(dropped: Dropped) -> pa.RecordBatch:
    """What a step drops, as columns row and because."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([dropped.rows, dropped.because], names=["row", "because"])


class Segment:
    """Work for an engine.

    Args:
        stages: cleaning steps, in order; none of them global.
        split: how to fill in `_side`, for the first segment.
        keys: the global steps that follow: those that stand next to each other share this pass.
        form: for the last segment: the format (None in it: rows are in their shape already, or in one that is read).
        shape: what rows are when they are formatted.
        checks: measured after the format.
        prompt_sides: sides whose rows are evaluation prompts.
        last: no global step follows: format and measure.
        tuned: what the spec tunes, for steps and checks that ask.
    """

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        stages: tuple[Stage, ...],
        *,
        split: Split | None = None,
        keys: tuple[Stage, ...] = (),
        form: Stage | None = None,
        shape: Shape = "chat",
        checks: tuple[Item, ...] = (),
        prompt_sides: tuple[str, ...] = (),
        last: bool = False,
        tuned: Tuned | None = None,
    ) -> None:
        self.folder, self.stages, self.split, self.keys, self.shape = folder, stages, split, keys, shape
        self.form, self.checks, self.prompt_sides, self.last = form, checks, prompt_sides, last
        self.tuned = tuned
        self._registry: Registry | None = registry  # stays here: a worker loads its own

    def __getstate__(self) -> dict[str, Any]:
        built = {"steps", "key_steps", "formatter", "built_checks", "registry", "tuner"}
        return {name: value for name, value in vars(self).items() if name not in built} | {"_registry": None}

    @cached_property
    def registry(self) -> Registry:
        return self._registry or load()

    @property
    def rowwise(self) -> bool:
        """Whether some step works row by row, in Python: an engine may want processes for that."""
        return any(self.registry.get(stage.item.kind, stage.item.name).level == "row" for stage in self.stages)

    @property
    def secrets(self) -> set[str]:
        """Names of the secrets that what it builds will look up, wherever it is built."""
        stages = [*self.stages, *self.keys, *([self.form] if self.form else [])]
        return secret_names([item.options for item in (*(stage.item for stage in stages), *self.checks)])

    @cached_property
    def tuner(self) -> Tuner:
        return self.tuned.tuner(self.registry, self.folder) if self.tuned else Tuner()

    @cached_property
    def steps(self) -> list[Runner]:
        return [runner(stage.item, self.registry, self.folder, self.tuner, stage.learned) for stage in self.stages]

    @cached_property
    def key_steps(self) -> list[GlobalStep]:
        return [build(stage.item, self.registry, self.folder) for stage in self.keys]

    @cached_property
    def formatter(self) -> Any:
        return build(self.form.item, self.registry, self.folder) if self.form else None

    @cached_property
    def built_checks(self) -> list[Check]:
        return [build(item, self.registry, self.folder, self.tuner) for item in self.checks]

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        outcome = self.begin(batch)
        for index in range(len(self.stages)):
            outcome = self.advance(outcome, index)
        return self.end(outcome)

    def begin(self, batch: pa.RecordBatch) -> Outcome:
        """The batch before its first step."""
        batch, found = split.assign(batch, self.split) if self.split is not None else (batch, [])
        return Outcome(batch, [], found)

    def advance(self, outcome: Outcome, index: int) -> Outcome:
        """One step more."""
        if outcome.batch.num_rows == 0:
            return outcome
        batch, what = run_step(self.stages[index], self.registry, self.steps[index], outcome.batch)
        return outcome._replace(batch=batch, done=[*outcome.done, what])

    def end(self, outcome: Outcome) -> Outcome:
        """What follows the steps: keys, or format and measures."""
        if outcome.batch.num_rows == 0:
            return outcome
        return self._finished(outcome) if self.last else self._keyed(outcome)

    def _keyed(self, outcome: Outcome) -> Outcome:
        made = [self._keys(stage, step, outcome.batch) for stage, step in zip(self.keys, self.key_steps, strict=True)]
        return outcome._replace(keys=tuple(keys for keys, _ in made), key_seconds=tuple(took for _, took in made))

    def _keys(self, stage: Stage, step: GlobalStep, batch: pa.RecordBatch) -> tuple[pa.Array, float]:
        started = time.perf_counter()
        with guarded(stage.item, self.registry):
            keys = step.keys(batch)
        verify_count(culprit(stage.item, self.registry), "keys", keys, batch)
        return keys, time.perf_counter() - started

    def _finished(self, outcome: Outcome) -> Outcome:
        cleaned = outcome.batch
        if self.form is not None:
            before, made, what = run_format(self.form, self.registry, self.formatter, cleaned)
            outcome.done.append(what)
        else:
            before, made = self._as_shape(outcome)
        asked = prompts.of_batch(before, made, self.prompt_sides) if self.prompt_sides and made.num_rows else []
        checks = zip(self.checks, self.built_checks, strict=True)
        measures = tuple(self._measured(item, check, cleaned, made) for item, check in checks)
        return outcome._replace(batch=made, measures=measures, prompts=asked)

    def _as_shape(self, outcome: Outcome) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """(rows that are in their shape, the same as if a format had made them); the others are found."""
        batch, faults = formatted.read(outcome.batch, self.shape)
        numbers = outcome.batch.column(rows.ROW)
        outcome.findings.extend(Finding(message=fault, row=numbers[index].as_py()) for index, fault in faults)
        return batch, formatted.as_shape(batch, self.shape)

    def _measured(self, item: Item, check: Check, cleaned: pa.RecordBatch, made: pa.RecordBatch) -> Any:
        """What the check measures; None where no row is left for it."""
        batch = cleaned if check.before_format else made
        with guarded(item, self.registry):
            return check.measure(batch) if batch.num_rows else None
