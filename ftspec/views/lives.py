"""A row's life: each step once more on this row alone, and what the ledger says became of it among the others.

No text is shown as it was before a step that removes what must not be kept (`private`), as in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.common.errors import DataError, Finding, FtspecError
from ftspec.common.records import Record
from ftspec.data import ledger
from ftspec.data.cleaning import Done, Stage, run_format, run_step
from ftspec.data.findings import Findings
from ftspec.data.intake import Intake
from ftspec.data.ledger import Ledger, Life
from ftspec.data.origins import Origins
from ftspec.data.split import assign
from ftspec.data.staging import open_stages
from ftspec.data.stepping import runner
from ftspec.items import Tuned, build, request_of
from ftspec.registry import Registry
from ftspec.spec import Item, Spec

if TYPE_CHECKING:
    import pyarrow as pa


SHOWN = 5
"""Files that a hint names."""


class Seen(Record):
    """What one step did to the row: "same", "changed" or "dropped"; the source has "read" it.

    `before` and `after` are None where nothing changed, and where texts are withheld, which `withheld` says.
    """

    step: str
    what: str
    reason: str = ""
    because: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    withheld: bool = False


class RowLife(Record):
    """One row: what became of it in the end, step by step, and what was found in it."""

    life: Life
    steps: tuple[Seen, ...]
    findings: tuple[Finding, ...] = ()


def replay(
    spec: Spec, registry: Registry, folder: Path, file: str, line: int, findings: Sequence[Finding]
) -> tuple[RowLife, ...]:
    """The lives of the rows of a line, told by what `pipeline.prepare` left in the folder. Raises FtspecError for none.

    `file` is named as origins name it, or by a path to it, from the spec or from here. Sources are read up to the row.
    """
    known = ledger.files(folder)
    file = _known(file, known, spec.folder)
    lives = ledger.lives(folder, file, line)
    here = tuple(each for each in findings if (each.file, each.line) == (file, line))
    if not lives and here:
        raise DataError(here)
    if not lives:
        raise FtspecError(f"no row came from {file}:{line}", _instead(folder, file, line, known))
    found = _rows_of(spec, registry, f"{file}:{line}", len(lives))
    return tuple(
        RowLife(
            life=life,
            steps=(*_source(spec, registry, batch), *_steps(spec, registry, batch, life, as_is)),
            findings=here,
        )
        for life, (batch, as_is) in zip(lives, found, strict=False)
    )


def _instead(folder: Path, file: str, line: int, known: Sequence[str]) -> str:
    """Where rows came from, since none came from that line."""
    if file not in known:
        return f"rows came from {', '.join(known[:SHOWN])}{', ...' if len(known) > SHOWN else ''}"
    last = ledger.last_line(folder, file)
    if line > last:
        return f"the last row of that file came from line {last}"
    return "that line is blank, part of a longer row, or could not be read"


def _known(file: str, known: Sequence[str], folder: Path) -> str:
    """The name by which origins know a file; that of its only sheet, or of the only file in an archive."""
    wanted = [os.path.normpath(base / file) for base in (folder.absolute(), Path.cwd())]
    named = {os.path.normpath(folder.absolute() / name): name for name in known}
    within = tuple(f"{path}{mark}" for path in wanted for mark in "[/")
    parts = [name for path, name in named.items() if path.startswith(within)]
    found = [*(named[path] for path in wanted if path in named), *(parts if len(parts) == 1 else ())]
    return file if file in known else next(iter(found), file)


def _source(spec: Spec, registry: Registry, batch: pa.RecordBatch) -> Iterator[Seen]:
    """The row as its source gave it, where nothing is to be removed from it later."""
    if not any(registry.get(item.kind, item.name).private for item in spec.cleaning):
        yield Seen(step="source", what="read", after=rows.to_dicts(batch)[0])


def _rows_of(spec: Spec, registry: Registry, origin: str, count: int) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Each row of the line as its source has it, and whether it is taken as it is; in the pipeline's order."""
    places = Origins()
    intake = Intake(spec, registry, places, Ledger(places), Findings(places.locate))
    asked = [item for item in (spec.eval.prompts if spec.eval else ()) if isinstance(item, Item)]
    groups = (list(spec.sources), [item for item in asked if item.as_is], [item for item in asked if not item.as_is])
    for items, as_is, mix in zip(groups, (False, True, False), (spec.mix, None, None), strict=True):
        for batch in intake.batches(intake.open(items), spec.split, mix) if items else ():
            for index, number in enumerate(batch.column(rows.ROW).to_pylist()):
                if places.where(number) == origin:
                    yield assign(batch.slice(index, 1), spec.split)[0], as_is
                    count -= 1
            if not count:
                return


def _steps(spec: Spec, registry: Registry, batch: pa.RecordBatch, life: Life, as_is: bool) -> Iterator[Seen]:
    if as_is:
        return
    prompt = batch.column(rows.SIDE)[0].as_py() == "prompt"
    tuner = Tuned(spec.provider, request_of(spec, registry)).tuner(registry, spec.folder)
    accounts = _accounts(spec)
    stages, form = open_stages(spec.cleaning, spec.format, registry, accounts, "prompts: " if prompt else "")
    for stage in stages:
        name = accounts.tallies[stage.index].name
        if registry.get(stage.item.kind, stage.item.name).sees_all:  # what it did stands in the ledger
            if prompt:  # which no such step sees
                continue
            if name == life.step:
                yield _gone(name, batch, life, stage)
                return
            yield Seen(step=name, what="same")
            continue
        batch, done = run_step(stage, registry, runner(stage.item, registry, spec.folder, tuner), batch)
        yield _seen(name, done, stage)
        if not batch.num_rows:
            return
    if form:
        name = accounts.tallies[form.index].name
        _, made, done = run_format(form, registry, build(form.item, registry, spec.folder), batch)
        shown = rows.to_dicts(made)[0] if made.num_rows else None
        yield Seen(step=name, what="changed", after=shown) if shown else _seen(name, done, form)


def _accounts(spec: Spec) -> Ledger:
    """A ledger in which the sources have their names already, so that steps get the ones that they had in the run."""
    accounts = Ledger(Origins())
    for item in spec.sources:
        accounts.step(item.id or item.name)
    return accounts


def _gone(name: str, batch: pa.RecordBatch, life: Life, stage: Stage) -> Seen:
    """That a step which sees all rows dropped the row, as it was then."""
    open_to_all = stage.shown == "both"
    (row,) = rows.to_dicts(batch)
    return Seen(
        step=name,
        what="dropped",
        reason=life.reason,
        because=life.because,
        before=row if open_to_all else None,
        withheld=not open_to_all,
    )


def _seen(name: str, done: Done, stage: Stage) -> Seen:
    if not done.samples:
        return Seen(step=name, what="dropped" if not done.rows_out else "same")
    (sample,) = done.samples[:1]
    what = "changed" if sample["reason"] == "changed" else "dropped"
    reason = "" if what == "changed" else sample["reason"]
    return Seen(
        step=name,
        what=what,
        reason=reason,
        before=sample["before"],
        after=sample["after"],
        withheld=stage.shown != "both",
    )
