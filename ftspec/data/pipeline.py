"""The data step of a run: sources → cleaning → format → split → checks → the provider's files.

Rows stream through in batches. Between two global steps a Segment cleans them, on whatever engine; a global step ends
a pass, because it must have seen every row's key: its rows wait in a Spool meanwhile. So memory holds a window of
batches, the keys, and an entry per dropped row, never the rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.common.errors import DataError
from ftspec.common.jobs import Request
from ftspec.common.progress import Progress
from ftspec.common.records import Record
from ftspec.contracts.engine import Engine, Work
from ftspec.contracts.provider import Provider
from ftspec.data import blocks, checking, entries, providerfiles
from ftspec.data.books import Books
from ftspec.data.columns import Memory
from ftspec.data.finished import Finished
from ftspec.data.intake import Intake
from ftspec.data.passes import Pass
from ftspec.data.screening import taught
from ftspec.data.segments import Outcome, Segment
from ftspec.data.staging import Cutter, may_skip, open_stages
from ftspec.files import memory
from ftspec.items import Tuned, build
from ftspec.plans.dataresult import DataResult
from ftspec.registry import Registry
from ftspec.spec import Item, Spec, Split

if TYPE_CHECKING:
    import pyarrow as pa

THREADS = Item(kind="engine", name="threads")


class How(Record):
    """How the data step is run. Nothing here changes what it makes.

    Args:
        memory: bytes that the data step may hold, about; a share of the machine's where it is 0. What is kept of every
            row and does not fit goes to disk.
        cache: folder of results of earlier runs (see ftspec.data.blocks); none where it is empty.
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
        error.counts = work.books.write()
        raise
    made = work.finish(files)
    if how.cache:
        entries.trim(Path(how.cache))
    return made


class Preparation:
    """One run of the data step, and what it has gathered so far."""

    def __init__(
        self, spec: Spec, registry: Registry, request: Request, out: Path, progress: Progress, how: How
    ) -> None:
        self.spec, self.registry, self.out, self.progress, self.how = spec, registry, out, progress, how
        self.tuned = Tuned(spec.provider, request)
        self.memory = Memory(memory.for_keys(how.memory or memory.usual()))
        self.books = Books(out, self.memory)
        books = self.books
        self.intake = Intake(spec, registry, books.origins, books.ledger, books.findings, books.rejected)
        self.engine: Engine = build(spec.engine or THREADS, registry, spec.folder)
        self.cutter = Cutter(spec, registry, self.tuned)
        self.finished = Finished(spec, registry, self.books, out, len(self.cutter.checks))

    def clean(self) -> None:
        """All passes over the sources' rows, into the file of finished rows."""
        opened = self.intake.open(self.spec.sources)
        stages, form = open_stages(self.spec.cleaning, self.spec.format, self.registry, self.books.ledger)
        self.books.skipping |= may_skip(stages, form, self.registry)
        stages = taught(stages, self.spec, self.registry, self.tuned)
        stream = self._counted(self.intake.batches(opened, self.spec.split, self.spec.mix), "reading rows")
        passes, last = self.cutter.of_rows(stages, form)
        for segment in passes:
            stream = self._pass(segment, stream)
        self._finish(last, stream)
        ledger = self.books.ledger
        self.books.find(checking.missing_columns(stages, self.registry, ledger, self.intake.columns))

    def ask(self) -> None:
        """The evaluation's own sources: cleaned row by row (no global step sees them), formatted, asked."""
        asked = self.spec.eval.prompts if self.spec.eval else ()
        items = [item for item in asked if isinstance(item, Item)]
        ready = [item for item in items if item.as_is]
        items = [item for item in items if not item.as_is]
        if ready:
            self._finish(self.cutter.of_prompts((), None), self._prompts(ready))
        if items:
            stream = self._prompts(items)
            local = tuple(item for item in self.spec.cleaning if not self.registry.get(item.kind, item.name).sees_all)
            stages, form = open_stages(local, self.spec.format, self.registry, self.books.ledger, "prompts: ")
            self.books.skipping |= may_skip(stages, form, self.registry)
            self._finish(self.cutter.of_prompts(stages, form), stream)
        self.finished.file.close()

    def judge(self) -> None:
        """Every check, over all rows. Raises DataError with everything found so far."""
        self.progress.phase("checking rows")
        checking.judge(self.cutter.checks, self.spec, self.registry, self.tuned, self.finished, self.books.findings)

    def write_files(self, provider: Provider, request: Request) -> providerfiles.Files:
        """Training and validation rows in the provider's own format. Raises DataError for fewer than it takes."""
        sides, findings = self.finished.sides, self.books.findings
        checking.enough_rows(provider, self.spec.provider.name, sides["train"], findings)
        self.progress.phase("writing files")
        return providerfiles.write(provider, request, self.out, sides, findings)

    def finish(self, files: providerfiles.Files) -> DataResult:
        """Everything else in `out`."""
        prompts, findings = self.finished.prompts, self.books.findings
        prompts.close()
        self.books.rejected.write()
        return DataResult(
            counts=self.books.write(),
            size=providerfiles.size_of(files, self.spec.eval, prompts),
            files=tuple(file for file, _ in files.values()),
            sides={**self.finished.sides, "prompt": len(prompts)},
            findings=findings.bounded(),
            findings_total=findings.totals["warning"],
            rows_sha256=self.finished.file.sha256,
        )

    def _prompts(self, items: list[Item]) -> Iterator[pa.RecordBatch]:
        """The rows of sources that stand under `eval`, whose side no split decides."""
        return self._counted(self.intake.batches(self.intake.open(items), Split()), "reading prompts")

    def _pass(self, segment: Segment, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Run a segment that ends with global steps: the rows that they leave, once they have seen all."""
        made = Pass(segment, self.engine, self.books, self.out, self.memory)
        for outcome in self._outcomes(segment, stream):
            made.take(outcome)
        names = ", ".join(stage.item.name for stage in segment.keys)
        return self._counted(made.read(), f"after {names}")

    def _finish(self, segment: Segment, stream: Iterator[pa.RecordBatch]) -> None:
        for outcome in self._outcomes(segment, stream):
            self.finished.take(outcome)

    def _outcomes(self, segment: Segment, stream: Iterator[pa.RecordBatch]) -> Iterator[Outcome]:
        """What the segment makes of each batch, entered in the books; from the cache where that knows it."""
        cache = Path(self.how.cache)
        first = blocks.first_kept(segment) if self.how.cache and entries.ready(cache) else None
        work: Work = segment if first is None else blocks.Cached(segment, cache, first, self.how.worth)
        reuse = blocks.Reuse(segment)
        for outcome in self.engine.map(work, stream):
            self.books.enter(outcome)
            reuse.count(outcome)
            yield outcome
        if told := str(reuse):
            self.progress.note(told)

    def _counted(self, stream: Iterator[pa.RecordBatch], phase: str) -> Iterator[pa.RecordBatch]:
        """The same batches, and the user is told how many rows went by, and how fast."""
        self.progress.phase(phase, unit="rows")
        started, count = time.monotonic(), 0
        for batch in stream:
            yield batch
            count += batch.num_rows
            rate = count / max(time.monotonic() - started, 1e-3)
            self.progress.advance(count, detail=f"{rate:,.0f} rows/s")
