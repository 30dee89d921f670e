"""One row, cleaned and formatted as the run would do it, without running anything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftspec import rows
from ftspec.common.errors import FtspecError
from ftspec.common.figures import plural
from ftspec.common.messages import Example
from ftspec.common.records import Record
from ftspec.data.cleaning import Stage
from ftspec.data.findings import Findings
from ftspec.data.intake import Intake
from ftspec.data.ledger import Ledger
from ftspec.data.origins import Origins
from ftspec.data.segments import Segment
from ftspec.items import Tuned, request_of, shape_of
from ftspec.layout.rowcolumns import having
from ftspec.registry import Registry
from ftspec.spec import Item, Spec

if TYPE_CHECKING:
    import pyarrow as pa


class Preview(Record):
    """A formatted row, where it came from (`file:line`) and which side it is on."""

    example: Example
    origin: str
    side: str


def preview(spec: Spec, registry: Registry, row: int | str | None = None) -> Preview:
    """The example that a row becomes: a number (from 1, over all sources), "FILE:LINE", or None for the first one kept.

    Sources are read up to that row. Steps that must see every row (dedupe, sample), or prompts, are left out. Raises
    FtspecError when there is no such row or a step drops it, DataError when it cannot be formatted.
    """
    origins = Origins()
    ledger = Ledger(origins)
    findings = Findings(origins.locate)
    intake = Intake(spec, registry, origins, ledger, findings)
    prompts = [item for item in (spec.eval.prompts if spec.eval else ()) if isinstance(item, Item)]
    segment = _segment(spec, registry, ledger)
    named = row if not isinstance(row, str) or not row.isdigit() else int(row)
    for batch in intake.batches(intake.open([*spec.sources, *prompts]), spec.split, spec.mix):
        for single in _matching(batch, origins, named):
            made = _run(segment, single, ledger, findings, origins, optional=row is None)
            if made is not None:
                return made
    wanted = "row" if row is None else f"row {row}" if isinstance(row, int) else row
    raise FtspecError(
        f"no {wanted} in the spec's sources", f"they hold {plural(origins.rows, 'row')}, e.g. {origins.where(1)}"
    )


def _segment(spec: Spec, registry: Registry, ledger: Ledger) -> Segment:
    local = [item for item in spec.cleaning if not registry.get(item.kind, item.name).sees_all]
    stages = tuple(Stage(item=item, index=ledger.step(item.name), shown="none") for item in local)
    form = Stage(item=spec.format, index=ledger.step(spec.format.name), shown="none") if spec.format else None
    shape = shape_of(spec, registry)
    tuned = Tuned(spec.provider, request_of(spec, registry))
    return Segment(spec.folder, registry, stages, split=spec.split, form=form, shape=shape, last=True, tuned=tuned)


def _matching(batch: pa.RecordBatch, origins: Origins, row: int | str | None) -> Iterator[pa.RecordBatch]:
    for number in batch.column(rows.ROW).to_pylist():
        if row is None or row == number or row == origins.where(number):
            yield having(batch, rows.integers([number]))


def _run(
    segment: Segment, single: pa.RecordBatch, ledger: Ledger, findings: Findings, origins: Origins, *, optional: bool
) -> Preview | None:
    """The row's preview. One that is dropped is None where another will do (`optional`)."""
    outcome = segment(single)
    for done in outcome.done:
        for finding in done.findings:
            findings.add(finding)
    findings.raise_errors()
    origin = origins.where(single.column(rows.ROW)[0].as_py())
    if outcome.batch.num_rows == 0:
        if optional:
            return None
        last = outcome.done[-1]
        reason = last.dropped.column("reason")[0].as_py()
        raise FtspecError(f"{origin} is dropped by step '{ledger.tallies[last.step].name}': {reason}")
    example = next(rows.examples(outcome.batch))
    return Preview(example=example, origin=origin, side=str(outcome.batch.column(rows.SIDE)[0]))
