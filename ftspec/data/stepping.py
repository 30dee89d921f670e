"""A cleaning step of whatever level, of texts, rows or batches, as a function of batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePath
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import rows
from ftspec.common.errors import DataError, Finding, PluginError
from ftspec.contracts.steps import Text
from ftspec.contracts.tuner import Tuner
from ftspec.items import build, culprit
from ftspec.layout.rowcolumns import having
from ftspec.layout.textmaps import Change, mapped
from ftspec.registry import Registry
from ftspec.spec import Item

if TYPE_CHECKING:
    import pyarrow as pa

DROPPED = "dropped"
"""Why a row went of which its step says no more."""


class Made(NamedTuple):
    """What a step made of a batch: the rows that it leaves, what it found, the places of those that it changed, of a
    step that leaves all and knows them, and why it failed on which of the others, by number."""

    batch: pa.RecordBatch
    findings: list[Finding]
    changed: pa.Array | None = None
    why: Mapping[int, str] = {}


Runner = Callable[["pa.RecordBatch"], Made]
"""A step of whatever level as a function of batches."""


def runner(item: Item, registry: Registry, folder: Path, tuner: Tuner | None = None, learned: Any = None) -> Runner:
    """The item's step, built; `learned` is for a screen."""
    component = registry.get(item.kind, item.name)
    step = build(item, registry, folder, tuner)
    if component.level == "text":
        return _over_texts(step, component.convert(item.options)["columns"], component.private)
    if component.level == "row":
        return lambda batch: _run_rows(item, step, batch)
    who = culprit(item, registry)
    if component.level == "screen":
        return lambda batch: Made(*tried(who, partial(step.step, learned), batch)[1:])
    return partial(_run_batch, who, item, step)


def _run_batch(who: str, item: Item, step: Any, batch: pa.RecordBatch) -> Made:
    """Rows on which the step fails are dropped, and reported unless `on_error` is skip."""
    _, after, found = tried(who, step, batch)
    why = {each.row: each.message.removeprefix(f"{item.name}: ") for each in found if each.row}
    return Made(after, found if item.on_error == "fail" else [], why=why)


def tried(who: str, step: Any, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch, list[Finding]]:
    """(rows that the step took, what it made of them, what it said of the others).

    A step that raises DataError runs again on the rows that it said nothing of, until it raises none. Raises
    PluginError for one that names only rows that it was not given: it would be run on the same rows for ever.
    """
    found: list[Finding] = []
    while True:
        try:
            return batch, step(batch), found
        except DataError as error:
            found += error.findings
            numbers = [finding.row for finding in error.findings if finding.row]
            if not numbers:
                raise DataError(found) from error
            rest = having(batch, rows.integers(numbers), invert=True)
            if rest.num_rows == batch.num_rows:
                message = f"{who} found fault with row {numbers[0]}, which it was not given"
                raise PluginError(message, "a finding's `row` is the number in the hidden column `_row`") from error
            batch = rest


def _over_texts(step: Text, columns: list[str], private: bool) -> Runner:
    """What a private step removes must not stay as a key or a number either."""
    of_row = step.of_row
    if of_row is not None:
        where: dict[str, Any] = {"prefilter": step.prefilter, "columns": columns, "nested": step.nested}
        return lambda batch: Made(rows.map_text_by_row(batch, lambda row: of_row(), **where, whole=private), [])
    change = Change(step.function, step.prefilter, step.beyond_ascii, step.arrays, private)

    def over_texts(batch: pa.RecordBatch) -> Made:
        after, changed = mapped(batch, change, columns, step.nested)
        return Made(after, [], changed)

    return over_texts


def _run_rows(item: Item, step: Any, batch: pa.RecordBatch) -> Made:
    """Rows to dicts and back. A row on which the step raises is dropped, and reported unless `on_error` is skip."""
    numbers = batch.column(rows.ROW).to_pylist()
    after: list[dict[str, Any]] = []
    reasons: list[str | None] = []
    found: list[Finding] = []
    for number, row in zip(numbers, rows.to_dicts(batch), strict=True):
        kept, reason = _run_row(step, row)
        after.append(kept)
        reasons.append(reason)
        if reason and reason != DROPPED and item.on_error == "fail":
            found.append(Finding(message=f"step '{item.name}': {reason}", row=number))
    said = [name for name in rows.visible(batch) if batch.schema.field(name).type == rows.messages_type()]
    made = _with_columns(after, said, {**rows.hidden(batch), rows.REASON: rows.strings(reasons)})
    told = zip(numbers, reasons, strict=True)
    return Made(made, found, why={number: reason for number, reason in told if reason and reason != DROPPED})


def _run_row(step: Any, row: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    try:
        after = step(row)
    except DataError as error:
        return {}, error.findings[0].message
    except Exception as error:
        return {}, f"failed on this row: {type(error).__name__}{_raised_at(error)}"
    if after is None:
        return {}, DROPPED
    reason = rows.fault(after)
    return ({}, reason) if reason else (after, None)


def _raised_at(error: Exception) -> str:
    """Where in the step's own file, as " at steps.py:5". What the error says is not told: it may quote the row."""
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__)]
    theirs = [frame for frame, _ in frames if not str(frame.f_globals.get("__name__")).startswith("ftspec.")]
    lines = [line for frame, line in frames if theirs and frame.f_code.co_filename == theirs[0].f_code.co_filename]
    return f" at {PurePath(theirs[0].f_code.co_filename).name}:{lines[-1]}" if lines else ""


def _with_columns(values: list[dict[str, Any]], said: list[str], hidden: dict[str, pa.Array]) -> pa.RecordBatch:
    """Rows as a batch again; `said` are the columns that held conversations."""
    import pyarrow as pa

    made = rows.from_dicts(values, said)
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), **hidden}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))
