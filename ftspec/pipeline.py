"""The data step of a run: sources → cleaning → format → split → checks → the provider's files.

Rows stream through in batches. Between two global steps a Segment cleans them, on whatever engine; a global step ends
a pass, because it must have seen every row's key: its rows wait in a Spool meanwhile. So memory holds a window of
batches, the keys, and an entry per dropped row, never the rows.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from ftspec import blocks, cases, memory, rows
from ftspec.abilities import SupportsLeastRows
from ftspec.cleaning import DROPPED, Done, Stage
from ftspec.columns import Memory
from ftspec.components import Level
from ftspec.engine import Engine, Work
from ftspec.errors import DataError, Finding
from ftspec.findings import Findings
from ftspec.intake import Intake
from ftspec.items import Tuned, build, columns, guarded, shape_of
from ftspec.jobs import DataFile, Request, Size, Written
from ftspec.ledger import Ledger
from ftspec.measures import Measures
from ftspec.messages import Prompt
from ftspec.origins import Origins
from ftspec.passes import Pass
from ftspec.progress import Progress
from ftspec.prompts import PromptsFile
from ftspec.provider import Provider
from ftspec.records import Record, StepCount
from ftspec.registry import Registry
from ftspec.rejected import Rejected
from ftspec.screening import SEES_ALL, taught
from ftspec.segments import Outcome, Segment
from ftspec.shapes import Shape
from ftspec.spec import Item, Spec, Split
from ftspec.spool import RowsFile, read_rows
from ftspec.steps import Check

if TYPE_CHECKING:
    import pyarrow as pa

ALWAYS: dict[Shape, tuple[str, ...]] = {
    "chat": ("format", "limits", "long_rows", "images"),
    "preference": ("format", "limits", "long_rows", "images", "pairs"),
    "reinforcement": ("format", "limits", "long_rows", "images"),
}
"""Checks that run whether the spec names them or not."""

NO_COLUMN = "name a column of the prompts' rows as the cleaning leaves them, or remove it from `eval`"
THREADS = Item(kind="engine", name="threads")
Purpose = Literal["training", "validation"]
SIDE_OF: dict[Purpose, str] = {"training": "train", "validation": "validation"}


class DataResult(Record):
    """What `prepare` made. `sides` counts rows per side, and under "prompt" the evaluation's prompts.

    `findings` is bounded, `findings_total` is how many there were.
    """

    counts: tuple[StepCount, ...]
    size: Size
    files: tuple[DataFile, ...]
    sides: dict[str, int]
    findings: tuple[Finding, ...] = ()
    findings_total: int = 0


class How(Record):
    """How the data step is run. Nothing here changes what it makes.

    Args:
        memory: bytes that the data step may hold, about; a share of the machine's where it is 0. What is kept of every
            row and does not fit goes to disk.
        cache: folder of results of earlier runs (see ftspec.blocks); none where it is empty.
        worth: seconds of work per byte from which on a result is kept there.
    """

    memory: int = 0
    cache: str = ""
    worth: float = blocks.WORTH


USUAL = How()


def prepare(
    spec: Spec,
    registry: Registry,
    provider: Provider,
    request: Request,
    out: Path,
    progress: Progress,
    how: How = USUAL,
) -> DataResult:
    """Fill the empty folder `out` with the provider's files, prompts, finished rows, ledger and origins.

    The same spec and inputs make the same bytes, with any engine and however sources cut their batches. Raises
    DataError with everything that is wrong with the data; ledger, origins and finished rows are there all the same.
    """
    memory.settle()
    work = Preparation(spec, registry, request, out, progress, how)
    work.clean()
    work.ask()
    try:
        work.judge()
        files = work.write_files(provider, request)
    except DataError as error:
        error.counts = work.account()
        raise
    made = work.finish(files)
    if how.cache:
        blocks.trim(Path(how.cache))
    return made


class Preparation:
    """One run of the data step, and what it has gathered so far."""

    def __init__(
        self, spec: Spec, registry: Registry, request: Request, out: Path, progress: Progress, how: How
    ) -> None:
        self.spec, self.registry, self.out, self.progress = spec, registry, out, progress
        self.tuned = Tuned(spec.provider, request)
        self.how = how
        self.origins = Origins()
        self.memory = Memory(memory.for_keys(how.memory or memory.usual()))
        self.ledger = Ledger(self.origins, out, self.memory)
        self.findings = Findings(self.origins.locate)
        self.shape = shape_of(spec, registry)
        reads: Shape = "chat" if spec.format else self.shape
        self.rejected = Rejected(out)
        self.intake = Intake(
            spec.folder, registry, self.origins, self.ledger, self.findings, reads, bool(spec.format), self.rejected
        )
        self.engine: Engine = build(spec.engine or THREADS, registry, spec.folder)
        self.checks = checks_of(spec, registry)
        self.rows_file = RowsFile(out, self.shape)
        self.measures = [Measures(out) for _ in self.checks]
        self.sides = Counter({"train": 0, "validation": 0, "test": 0, "prompt": 0})
        self.prompts = PromptsFile(out)
        self.unseen = cases.columns(spec.eval)
        """Columns that the evaluation names and no prompt has had yet."""
        self.skipping: set[int] = set()
        """Accounts of steps whose failures are set aside."""

    def clean(self) -> None:
        """All passes over the sources' rows, into the file of finished rows."""
        opened = self.intake.open(self.spec.sources)
        stages, form = open_stages(self.spec.cleaning, self.spec.format, self.registry, self.ledger)
        self._may_skip(stages, form)
        stages = taught(stages, self.spec, self.registry, self.tuned, self.shape, self.intake.shape)
        stream = self._counted(self.intake.batches(opened, self.spec.split, self.spec.mix), "reading rows")
        *passes, last = self._segments(stages, form)
        for segment in passes:
            stream = self._pass(segment, stream)
        self._finish_rows(last, stream)
        self._find_missing_columns(stages)

    def ask(self) -> None:
        """The evaluation's own sources: cleaned row by row (no global step sees them), formatted, asked."""
        asked = self.spec.eval.prompts if self.spec.eval else ()
        items = [item for item in asked if isinstance(item, Item)]
        ready = [item for item in items if item.as_is]
        items = [item for item in items if not item.as_is]
        if ready:
            opened = self.intake.open(ready)
            segment = self._last((), None, ("prompt",))
            self._finish_rows(segment, self._counted(self.intake.batches(opened, Split()), "reading prompts"))
        if items:
            opened = self.intake.open(items)
            local = tuple(item for item in self.spec.cleaning if self._level(item) not in SEES_ALL)
            stages, form = open_stages(local, self.spec.format, self.registry, self.ledger, "prompts: ")
            self._may_skip(stages, form)
            segment = self._last(tuple(stages), form, ("prompt",))
            self._finish_rows(segment, self._counted(self.intake.batches(opened, Split()), "reading prompts"))
        self.rows_file.close()

    def judge(self) -> None:
        """Every check, over all rows. Raises DataError with everything found so far."""
        self.progress.phase("checking rows")
        tuner = self.tuned.tuner(self.registry, self.spec.folder)
        for index, item in enumerate(self.checks):
            check: Check = build(item, self.registry, self.spec.folder, tuner)
            with guarded(item, self.registry):
                self.findings.judge(item, check.judge(self.measures[index]))
            self.measures[index].close()
        if not self.sides["train"]:
            said = "".join(f"; {each.file}: {each.message}" for each in self.findings.bounded()[:1] if each.file)
            hint = f"look at what the cleaning dropped and the split held out{said}"
            self.findings.add(Finding(message="no row is left to train on", hint=hint))
        if self.spec.eval and not self.prompts:
            hint = "give the split a larger share, or name a source under eval.prompts"
            self.findings.add(Finding(message="the evaluation has no prompts", hint=hint))
        for name in sorted(self.unseen) if self.prompts else ():
            message = f"no prompt has a column '{name}', which `eval` names"
            self.findings.add(Finding(message=message, hint=NO_COLUMN, severity="warning"))
        self.findings.raise_errors()

    def write_files(self, provider: Provider, request: Request) -> dict[Purpose, tuple[DataFile, Written]]:
        """Training and validation rows in the provider's own format. Raises DataError for fewer than it takes."""
        least = provider.least_rows if isinstance(provider, SupportsLeastRows) else 0
        rows_there = self.sides["train"]
        if rows_there < least:
            message = f"{self.spec.provider.name} wants at least {least} training examples, and there are {rows_there}"
            self.findings.add(
                Finding(message=message, hint="add rows, or keep more of them: see the cleaning's counts")
            )
            self.findings.raise_errors()
        self.progress.phase("writing files")
        return {
            purpose: self._write_file(provider, request, purpose)
            for purpose, side in SIDE_OF.items()
            if self.sides[side]
        }

    def finish(self, files: dict[Purpose, tuple[DataFile, Written]]) -> DataResult:
        """Everything else in `out`."""
        self.prompts.close()
        self.rejected.write()
        return DataResult(
            counts=self.account(),
            size=self._size(files),
            files=tuple(file for file, _ in files.values()),
            sides={**self.sides, "prompt": len(self.prompts)},
            findings=self.findings.bounded(),
            findings_total=self.findings.totals["warning"],
        )

    def account(self) -> tuple[StepCount, ...]:
        """What each step did, once `out` holds which rows came from where and what dropped them."""
        self.origins.write(self.out)
        self.ledger.write(self.out)
        return self.ledger.counts()

    def _may_skip(self, stages: list[Stage], form: Stage | None) -> None:
        """Note the steps whose failures are set aside: row steps and the format."""
        opened = [stage for stage in stages if self.registry.get("cleaner", stage.item.name).level == "row"]
        opened += [form] if form else []
        self.skipping.update(stage.index for stage in opened if stage.item.on_error == "skip")

    def _segments(self, stages: list[Stage], form: Stage | None) -> list[Segment]:
        """The passes: each but the last ends with the keys of global steps; the first one splits."""
        made: list[Segment] = []
        waiting: tuple[Stage, ...] = ()
        for local, group in groupby(stages, key=lambda stage: self._is_local(stage.item)):
            if local:
                waiting = tuple(group)
                continue
            split = None if made else self.spec.split
            made.append(
                Segment(self.spec.folder, self.registry, waiting, split=split, keys=tuple(group), tuned=self.tuned)
            )
            waiting = ()
        prompts = tuple(name for name in self.spec.eval.prompts if isinstance(name, str)) if self.spec.eval else ()
        return [*made, self._last(waiting, form, prompts, None if made else self.spec.split)]

    def _last(
        self, stages: tuple[Stage, ...], form: Stage | None, prompts: tuple[str, ...], split: Split | None = None
    ) -> Segment:
        return Segment(
            self.spec.folder, self.registry, stages,
            split=split, form=form, shape=self.shape, checks=self.checks, prompt_sides=prompts, last=True,
            tuned=self.tuned,
        )  # fmt: skip

    def _is_local(self, item: Item) -> bool:
        return self._level(item) != "global"

    def _level(self, item: Item) -> Level:
        return self.registry.get(item.kind, item.name).level

    def _pass(self, segment: Segment, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Run a segment that ends with global steps: the rows that they leave, once they have seen all."""
        made = Pass(segment, self.engine, self.ledger, self.out, self.memory)
        for outcome in self._outcomes(segment, stream):
            made.take(outcome)
        names = ", ".join(stage.item.name for stage in segment.keys)
        return self._counted(made.read(), f"after {names}")

    def _finish_rows(self, segment: Segment, stream: Iterator[pa.RecordBatch]) -> None:
        for outcome in self._outcomes(segment, stream):
            self.rows_file.write(outcome.batch)
            for kept, measure in zip(self.measures, outcome.measures, strict=False):
                if measure is not None:
                    kept.append(measure)
            if outcome.batch.num_rows:
                for each in outcome.batch.column(rows.SIDE).value_counts().to_pylist():
                    self.sides[each["values"]] += each["counts"]

    def _outcomes(self, segment: Segment, stream: Iterator[pa.RecordBatch]) -> Iterator[Outcome]:
        """What the segment makes of each batch, counted; from the cache where that knows it."""
        cache = Path(self.how.cache)
        first = blocks.first_kept(segment) if self.how.cache and blocks.ready(cache) else None
        work: Work = segment if first is None else blocks.Cached(segment, cache, first, self.how.worth)
        reuse = blocks.Reuse(segment)
        for outcome in self.engine.map(work, stream):
            self._take(outcome)
            reuse.count(outcome)
            yield outcome
        if told := str(reuse):
            self.progress.note(told)

    def _take(self, outcome: Outcome) -> None:
        for done in outcome.done:
            self.ledger.add(done)
            self._set_aside(done)
            for finding in done.findings:
                self.findings.add(finding)
        for finding in outcome.findings:
            self.findings.add(finding)
        for row, prompt in outcome.prompts:
            self._ask(row, replace(prompt, origin=self.origins.where(row)))

    def _set_aside(self, done: Done) -> None:
        """Rows on which a step with `on_error: skip` failed; those that it merely dropped are in the ledger."""
        if done.step not in self.skipping or not done.dropped.num_rows:
            return
        for row, reason in zip(*(column.to_pylist() for column in done.dropped.columns), strict=True):
            if reason != DROPPED:
                file, line = self.origins.locate(row)
                self.rejected.add(file, line, self.ledger.tallies[done.step].name, reason, read=True)

    def _ask(self, row: int, prompt: Prompt) -> None:
        for message, hint in cases.faults(prompt, self.spec, self.registry):
            self.findings.add(Finding(message=message, hint=hint, row=row))
        self.unseen.difference_update(prompt.row)
        first = self.prompts.add(row, prompt)
        if first != row:
            message = f"the same prompt and answer as {self.origins.where(first)}: asked once"
            self.findings.add(Finding(message=message, severity="warning", row=row))

    def _find_missing_columns(self, stages: list[Stage]) -> None:
        """A column that a step names and no row has is a typing error, and not an empty column."""
        for stage in stages:
            tally = self.ledger.tallies[stage.index]
            for name in columns(stage.item, self.registry) if tally.rows_in else []:
                if name not in tally.columns and name not in self.intake.columns:
                    message = f"step '{stage.item.name}': no row has a column '{name}'"
                    self.findings.add(
                        Finding(message=message, hint=f"columns are {', '.join(map(repr, sorted(tally.columns)))}")
                    )

    def _write_file(self, provider: Provider, request: Request, purpose: Purpose) -> tuple[DataFile, Written]:
        path = self.out / f"{purpose}.jsonl"
        with HashedFile(path) as raw, io.BufferedWriter(raw, 1 << 20) as file:
            try:
                written = provider.write(request, read_rows(self.out, (SIDE_OF[purpose],)), file)
            except DataError as error:
                for finding in error.findings:
                    self.findings.add(finding)
                self.findings.raise_errors()
                raise
        made = DataFile(purpose=purpose, path=str(path), sha256=raw.digest, bytes=raw.count, rows=written.rows)
        return made, written

    def _size(self, files: dict[Purpose, tuple[DataFile, Written]]) -> Size:
        training = files["training"][1]
        asked = self.spec.eval
        return Size(
            rows=training.rows,
            validation_rows=files["validation"][1].rows if "validation" in files else 0,
            tokens=training.tokens,
            trained_tokens=training.trained_tokens,
            prompts=2 * asked.generation.repeats(asked.repeat) * len(self.prompts) if asked else 0,
            bytes=files["training"][0].bytes,
            prompt_tokens=self.prompts.tokens if asked else None,
            row_tokens=self.prompts.row_tokens if asked else None,
        )

    def _counted(self, stream: Iterator[pa.RecordBatch], phase: str) -> Iterator[pa.RecordBatch]:
        """The same batches, and the user is told how many rows went by, and how fast."""
        self.progress.phase(phase, unit="rows")
        started, count = time.monotonic(), 0
        for batch in stream:
            yield batch
            count += batch.num_rows
            rate = count / max(time.monotonic() - started, 1e-3)
            self.progress.advance(count, detail=f"{rate:,.0f} rows/s")


def checks_of(spec: Spec, registry: Registry) -> tuple[Item, ...]:
    """The checks that always run and those that the spec names, in the order in which they are judged."""
    named = {item.name for item in spec.checks}
    always = (Item(kind="check", name=name) for name in ALWAYS[shape_of(spec, registry)] if name not in named)
    return (*always, *spec.checks)


def open_stages(
    cleaning: tuple[Item, ...], form: Item | None, registry: Registry, ledger: Ledger, prefix: str = ""
) -> tuple[list[Stage], Stage | None]:
    """The cleaning steps and the format, each with its account in the ledger.

    No text that a step with `private` may remove later is kept: see `Stage.shown`.
    """
    private = [at for at, item in enumerate(cleaning) if registry.get(item.kind, item.name).private]
    last = max(private, default=-1)
    stages = [
        Stage(item=item, index=ledger.step(f"{prefix}{item.id or item.name}"), shown=_texts_shown(at, last))
        for at, item in enumerate(cleaning)
    ]
    return stages, Stage(item=form, index=ledger.step(f"{prefix}{form.name}")) if form else None


def _texts_shown(at: int, last_private: int) -> Literal["both", "after", "none"]:
    return "both" if at > last_private else "after" if at == last_private else "none"


class HashedFile(io.RawIOBase):
    """A new file that knows the sha256 and the length of what was written to it."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb", buffering=0)
        self.state = hashlib.sha256()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = self.file.write(data)
        self.state.update(memoryview(data)[:written])
        self.count += written
        return written

    def close(self) -> None:
        self.file.close()
        super().close()

    @property
    def digest(self) -> str:
        return self.state.hexdigest()
