"""What screens compare with: the evaluation's prompts and named files, read before the first row is cleaned.

They are read once more later, where prompts are made of them; what is wrong with them is reported then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ftspec import rows
from ftspec.common.errors import PluginFault
from ftspec.contracts.steps import Reference, Screen
from ftspec.data.cleaning import Stage
from ftspec.data.findings import Findings
from ftspec.data.intake import Intake
from ftspec.data.ledger import Ledger
from ftspec.data.origins import Origins
from ftspec.data.segments import Segment
from ftspec.items import Tuned, build, guarded
from ftspec.registry import Registry
from ftspec.spec import Item, Mix, Spec, Split

if TYPE_CHECKING:
    import pyarrow as pa

WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".parquet": "parquet", **dict.fromkeys(WORKBOOKS, "excel")}
"""The source that reads a file; JSON lines where the ending is none of these."""


def taught(stages: Sequence[Stage], spec: Spec, registry: Registry, tuned: Tuned) -> list[Stage]:
    """The stages, screens with what they have learned."""
    made: list[Stage] = []
    for stage in stages:
        if registry.get(stage.item.kind, stage.item.name).level == "screen":
            reader = Reader(spec, registry, tuned, tuple(made))
            screen: Screen = build(stage.item, registry, spec.folder, tuned.tuner(registry, spec.folder))
            try:
                with guarded(stage.item, registry):
                    learned = screen.learn(reader.references(screen))
            except PluginFault:  # perhaps because an earlier step failed, and left nothing of the prompts
                reader.findings.raise_errors()
                raise
            stage = replace(stage, learned=learned)
        made.append(stage)
    return made


class Reader:
    """Reads references, as the stages before the screen leave them."""

    def __init__(self, spec: Spec, registry: Registry, tuned: Tuned, before: tuple[Stage, ...]) -> None:
        self.spec, self.registry, self.tuned = spec, registry, tuned
        self.before = tuple(stage for stage in before if not registry.get(stage.item.kind, stage.item.name).sees_all)
        self.origins = Origins()
        self.findings = Findings(self.origins.locate)
        self.intake = Intake(spec, registry, self.origins, Ledger(self.origins), self.findings)

    def references(self, screen: Screen) -> Iterator[Reference]:
        """The rows of the files, then the prompts. Raises DataError for lines that are no row."""
        for path in screen.files:
            item = Item(kind="source", name=_reader(path), options={"path": path}, path=("files",))
            for batch in self._read([item]):
                yield self._reference(batch)
        self.findings.raise_errors()
        if screen.prompts and self.spec.eval:
            yield from self._prompts(self.spec.eval.prompts)

    def _prompts(self, asked: Sequence[str | Item]) -> Iterator[Reference]:
        sides = [name for name in asked if isinstance(name, str)]
        ready = [item for item in asked if isinstance(item, Item) and item.as_is]
        items = [item for item in asked if isinstance(item, Item) and not item.as_is]
        for batch in self._read(ready):
            yield self._reference(batch)
        for batch in self._read(items):
            yield self._reference(self._cleaned(batch, self.before))
        if sides:
            for batch in self._read(self.spec.sources, self.spec.mix):
                yield self._reference(self._held_out(batch, sides))

    def _held_out(self, batch: pa.RecordBatch, sides: Sequence[str]) -> pa.RecordBatch:
        """The rows on these sides, cleaned."""
        import pyarrow.compute as pc

        divided = self._cleaned(batch, (), self.spec.split)
        chosen = divided.filter(pc.is_in(divided.column(rows.SIDE), value_set=rows.strings(list(sides))))
        return self._cleaned(chosen, self.before)

    def _cleaned(self, batch: pa.RecordBatch, stages: tuple[Stage, ...], split: Split | None = None) -> pa.RecordBatch:
        work = Segment(self.spec.folder, self.registry, stages, split=split, tuned=self.tuned)
        outcome = work(batch)
        for finding in (*outcome.findings, *(found for done in outcome.done for found in done.findings)):
            self.findings.add(finding)
        return outcome.batch

    def _read(self, items: Sequence[Item], mix: Mix | None = None) -> Iterator[pa.RecordBatch]:
        return self.intake.batches(self.intake.open(items), self.spec.split, mix)

    def _reference(self, batch: pa.RecordBatch) -> Reference:
        return Reference(batch, [self.origins.where(row) for row in batch.column(rows.ROW).to_pylist()])


def _reader(path: str) -> str:
    endings = [ending.lower() for ending in PurePath(path).suffixes]
    return next((READERS[ending] for ending in reversed(endings) if ending in READERS), "jsonl")
