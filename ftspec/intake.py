"""Rows in: the spec's sources read in order, every row numbered, every line that is no row reported."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ftspec import formatted, rows
from ftspec.components import Chunk, Source
from ftspec.errors import Finding, PluginError
from ftspec.findings import Findings
from ftspec.items import build, culprit, guarded
from ftspec.ledger import Ledger
from ftspec.origins import Origins
from ftspec.provider import Shape
from ftspec.registry import Registry
from ftspec.spec import Item, Split
from ftspec.split import side_of_source
from ftspec.wording import dotted

if TYPE_CHECKING:
    import pyarrow as pa


class Intake:
    """Reads sources into batches with `_row`, and `_side` where the source decides it (null where the split does)."""

    def __init__(
        self,
        folder: Path,
        registry: Registry,
        origins: Origins,
        ledger: Ledger,
        findings: Findings,
        shape: Shape = "chat",
    ) -> None:
        """`shape` is what rows are read as: where the spec has no format, that of its method."""
        self.folder, self.registry, self.shape = folder, registry, shape
        self.origins, self.ledger, self.findings = origins, ledger, findings

    def open(self, items: Sequence[Item]) -> list[tuple[Item, int]]:
        """Open the sources' accounts in the ledger, in the spec's order."""
        return [
            (item, self.ledger.step(("prompts: " if _of_eval(item) else "") + (item.id or item.name))) for item in items
        ]

    def batches(self, opened: Sequence[tuple[Item, int]], split: Split) -> Iterator[pa.RecordBatch]:
        """The rows of all sources, in order. Those that stand under `eval` make prompts: their side is "prompt"."""
        for item, index in opened:
            yield from self._read_source(item, index, "prompt" if _of_eval(item) else side_of_source(split, item.id))

    def _read_source(self, item: Item, index: int, side: str | None) -> Iterator[pa.RecordBatch]:
        source: Source = build(item, self.registry, self.folder)
        with guarded(item, self.registry):
            chunks = source.read()
        while True:
            started = time.perf_counter()
            with guarded(item, self.registry):
                got = next(chunks, None)
            if got is None:
                return
            if isinstance(got, Finding):
                self._report(item, replace(got, file=self.shown(item, got.file)))
                self.ledger.read(index, 0, 1, time.perf_counter() - started)
                continue
            if not isinstance(got, Chunk):
                raise PluginError(
                    f"{culprit(item, self.registry)} must yield Chunk or Finding, not {type(got).__name__}"
                )
            batch, bad = self._numbered(item, got, side)
            self.ledger.read(index, batch.num_rows, bad, time.perf_counter() - started)
            if batch.num_rows:
                yield batch

    def _numbered(self, item: Item, chunk: Chunk, side: str | None) -> tuple[pa.RecordBatch, int]:
        """The chunk in ftspec's layout with its hidden columns, and how many of its rows are none."""
        import pyarrow as pa

        batch, faults = self._read(chunk.batch)
        file, bad = self.shown(item, chunk.origin), {index for index, _ in faults}
        for at, reason in faults:
            self._report(item, Finding(message=reason, file=file, line=chunk.lines[at]))
        lines = [line for at, line in enumerate(chunk.lines) if at not in bad] if bad else chunk.lines
        if batch.num_columns and batch.num_rows != len(lines):
            raise PluginError(f"{culprit(item, self.registry)}: {batch.num_rows} rows with {len(lines)} line numbers")
        first = self.origins.add(file, lines)
        numbers = rows.integers(range(first, first + len(lines)))
        named = {**dict(zip(batch.schema.names, batch.columns, strict=True)), rows.ROW: numbers}
        named[rows.SIDE] = rows.repeated(side, len(lines))
        return pa.RecordBatch.from_arrays(list(named.values()), names=list(named)), len(bad)

    def _read(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        """The rows in ftspec's layout, and (index, fault) of those that cannot be brought into it."""
        made, faults = rows.conform(batch)
        bad = {index for index, _ in faults}
        left = [index for index in range(batch.num_rows) if index not in bad]
        made, more = formatted.read(made, self.shape)
        return made, sorted([*faults, *((left[index], fault) for index, fault in more)])

    def _report(self, item: Item, finding: Finding) -> None:
        self.findings.add(replace(finding, severity="warning") if item.on_error == "skip" else finding)

    def shown(self, item: Item, origin: str) -> str:
        """A file as findings, prompts and the ledger name it: relative to the spec, or the item itself for no file."""
        if not origin:
            return dotted(item.path or (item.name,))
        path = PurePath(origin)
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else origin


def _of_eval(item: Item) -> bool:
    return item.path[:1] == ("eval",)
