"""The per-batch part of the pipeline: what an engine runs, on any thread, process or machine, in any order.

A Segment is a run of cleaning steps between two global ones; the last one also formats and measures. It is sent to
workers as names and options, and builds its components where it is. It keeps nothing between two batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ftspec import prompts, rows, split
from ftspec.errors import DataError, Finding, FtspecError, PluginError
from ftspec.items import build
from ftspec.provider import Prompt
from ftspec.registry import Registry, load
from ftspec.spec import Item, Split

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES = 3
"""Rows per step and batch of which the ledger may keep a sample, dropped and changed ones each."""

SAMPLE_CHARACTERS = 500


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a segment: where it counts (`index` of the run's StepCounts), and which texts the ledger may keep.

    "after" is for the step that removes what must not be kept, and "none" for every step before it.
    """

    item: Item
    index: int
    shown: Literal["both", "after", "none"] = "both"


class Done(NamedTuple):
    """What one step did to one batch."""

    step: int
    rows_in: int
    rows_out: int
    changed: int
    seconds: float
    dropped: pa.RecordBatch
    """Columns row and reason."""
    samples: list[dict[str, Any]]
    columns: tuple[str, ...]
    findings: list[Finding] = []


class Outcome(NamedTuple):
    """What a segment made of one batch. `keys` are the next global step's, `measures` the checks', by their order."""

    batch: pa.RecordBatch
    done: list[Done]
    findings: list[Finding]
    keys: pa.Array | None = None
    key_seconds: float = 0.0
    measures: tuple[Any, ...] = ()
    prompts: list[tuple[int, Prompt]] = []


class Segment:
    """Work for an engine.

    Args:
        stages: cleaning steps, in order; none of them global.
        split: how to fill in `_side`, for the first segment.
        keys: the global step that follows.
        form: for the last segment: the format (None in it: rows already hold messages).
        checks: measured after the format.
        prompt_sides: sides whose rows are evaluation prompts.
    """

    def __init__(
        self,
        folder: Path,
        registry: Registry | None,
        stages: tuple[Stage, ...],
        *,
        split: Split | None = None,
        keys: Stage | None = None,
        form: Stage | None = None,
        checks: tuple[Item, ...] = (),
        prompt_sides: tuple[str, ...] = (),
        last: bool = False,
    ) -> None:
        self.folder, self.stages, self.split, self.keys = folder, stages, split, keys
        self.form, self.checks, self.prompt_sides, self.last = form, checks, prompt_sides, last
        self._registry = registry

    def __getstate__(self) -> dict[str, Any]:
        built = {"steps", "key_step", "formatter", "built_checks", "registry"}
        return {name: value for name, value in vars(self).items() if name not in built} | {"_registry": None}

    @cached_property
    def registry(self) -> Registry:
        return self._registry or load()

    @cached_property
    def steps(self) -> list[Callable[[pa.RecordBatch], tuple[pa.RecordBatch, list[Finding]]]]:
        return [runner(stage.item, self.registry, self.folder) for stage in self.stages]

    @cached_property
    def key_step(self) -> Any:
        return build(self.keys.item, self.registry, self.folder) if self.keys else None

    @cached_property
    def formatter(self) -> Any:
        return build(self.form.item, self.registry, self.folder) if self.form else None

    @cached_property
    def built_checks(self) -> list[Any]:
        return [build(item, self.registry, self.folder) for item in self.checks]

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        found: list[Finding] = []
        if self.split is not None:
            batch, found = split.assign(batch, self.split)
        done = []
        for stage, step in zip(self.stages, self.steps, strict=True):
            if batch.num_rows:
                batch, what = run_step(stage, self.registry, step, batch)
                done.append(what)
        outcome = Outcome(batch, done, found)
        if batch.num_rows == 0:
            return outcome
        return self._finished(outcome) if self.last else self._keyed(outcome)

    def _keyed(self, outcome: Outcome) -> Outcome:
        if self.keys is None:
            return outcome
        started = time.perf_counter()
        with guarded(self.keys.item, self.registry):
            keys = self.key_step.keys(outcome.batch)
        if len(keys) != outcome.batch.num_rows:
            raise PluginError(
                f"{culprit(self.keys.item, self.registry)} made {len(keys)} keys of {outcome.batch.num_rows} rows"
            )
        return outcome._replace(keys=keys, key_seconds=time.perf_counter() - started)

    def _finished(self, outcome: Outcome) -> Outcome:
        before, formatted = outcome.batch, as_chat(outcome.batch)
        if self.form is not None:
            before, formatted, what = run_format(self.form, self.registry, self.formatter, before)
            outcome.done.append(what)
        if formatted.num_rows == 0:
            return outcome._replace(batch=formatted)
        asked = prompts.of_batch(before, formatted, self.prompt_sides) if self.prompt_sides else []
        checks = zip(self.checks, self.built_checks, strict=True)
        measures = tuple(self._measured(item, check, formatted) for item, check in checks)
        return outcome._replace(batch=formatted, measures=measures, prompts=asked)

    def _measured(self, item: Item, check: Any, batch: pa.RecordBatch) -> Any:
        with guarded(item, self.registry):
            return check.measure(batch)


def as_chat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that need no format as if one had made them: `messages`, `tools` and the hidden columns."""
    import pyarrow as pa

    messages = (
        batch.column("messages") if "messages" in batch.schema.names else pa.nulls(batch.num_rows, rows.messages_type())
    )
    columns = {"messages": messages, "tools": rows.column(batch, "tools"), **rows.hidden(batch)}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


@contextmanager
def guarded(item: Item, registry: Registry) -> Iterator[None]:
    """Turn an exception of a component's own into a PluginError that names it; ftspec's own pass."""
    try:
        yield
    except FtspecError:
        raise
    except Exception as error:
        where = culprit(item, registry)
        raise PluginError(f"{where} failed: {type(error).__name__}: {error}", "report it to its authors") from error


def culprit(item: Item, registry: Registry) -> str:
    """How an error names a component: kind, name, and the distribution that it came with."""
    return f"{item.kind} '{item.name}' of {registry.components[item.kind][item.name].origin}"


def runner(
    item: Item, registry: Registry, folder: Path
) -> Callable[[pa.RecordBatch], tuple[pa.RecordBatch, list[Finding]]]:
    """The step as a function of batches, whatever its level."""
    component = registry.get(item.kind, item.name)
    step = build(item, registry, folder)
    if component.level == "text":
        columns = component.convert(item.options)["columns"]
        return lambda batch: (
            rows.map_text(batch, step.function, prefilter=step.prefilter, columns=columns, nested=step.nested),
            [],
        )
    if component.level == "row":
        return lambda batch: _run_rows(item, step, batch)
    return lambda batch: (step(batch), [])


def _run_rows(item: Item, step: Any, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Finding]]:
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
    return _with_columns(after, {**rows.hidden(batch), rows.REASON: rows.strings(reasons)}), found


DROPPED = "dropped"


def _run_row(step: Any, row: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    try:
        after = step(row)
    except Exception as error:
        return {}, f"failed on this row: {type(error).__name__}"
    if after is None:
        return {}, DROPPED
    reason = rows.fault(after)
    return ({}, reason) if reason else (after, None)


def _with_columns(values: list[dict[str, Any]], hidden: dict[str, pa.Array]) -> pa.RecordBatch:
    import pyarrow as pa

    made = rows.from_dicts(values)
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), **hidden}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def run_step(stage: Stage, registry: Registry, step: Any, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Done]:
    """Apply one step, and see what it did."""
    started = time.perf_counter()
    with guarded(stage.item, registry):
        after, found = step(batch)
    after, dropped = settle(culprit(stage.item, registry), batch, after)
    kept = batch if after.num_rows == batch.num_rows else keep(batch, after.column(rows.ROW))
    changed = changes(kept, after)
    seconds = time.perf_counter() - started
    samples = _first_dropped(stage, batch, dropped) + _changed_samples(stage, kept, after, changed)
    count = changed.num_rows if changed is not None else 0
    names = tuple(rows.visible(batch))
    return after, Done(stage.index, batch.num_rows, after.num_rows, count, seconds, dropped, samples, names, found)


def run_format(
    stage: Stage, registry: Registry, formatter: Any, batch: pa.RecordBatch
) -> tuple[pa.RecordBatch, pa.RecordBatch, Done]:
    """(rows that could be formatted, the same formatted, what was done); rows that could not are found or skipped."""
    started = time.perf_counter()
    found: list[Finding] = []
    before = batch
    with guarded(stage.item, registry):
        try:
            after = formatter(batch)
        except DataError as error:
            found = list(error.findings)
            bad = rows.integers([finding.row for finding in found])
            before = keep(batch, bad, invert=True)
            after = formatter(before)
    after, _ = settle(culprit(stage.item, registry), before, after, same=True)
    if "messages" not in after.schema.names or after.column("messages").type != rows.messages_type():
        raise PluginError(f"{culprit(stage.item, registry)} must make a column `messages` of type rows.MESSAGES")
    dropped = _dropped([(finding.row or 0, finding.message) for finding in found])
    seconds = time.perf_counter() - started
    findings = found if stage.item.on_error == "fail" else []
    names = tuple(rows.visible(batch))
    samples = _first_dropped(stage, batch, dropped)
    return (
        before,
        after,
        Done(stage.index, batch.num_rows, after.num_rows, 0, seconds, dropped, samples, names, findings),
    )


def settle(
    who: str, before: pa.RecordBatch, after: pa.RecordBatch, *, same: bool = False
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """(rows that stay, rows dropped and why). Raises PluginError unless `after` is an ordered subset by `_row`.

    With `same`, it must be all of them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(after, pa.RecordBatch):
        raise PluginError(f"{who} must return a RecordBatch, not {type(after).__name__}")
    if not {rows.ROW, rows.SIDE} <= set(after.schema.names):
        raise PluginError(f"{who} lost the hidden columns: keep every column whose name starts with '_'")
    _verify_order(who, before.column(rows.ROW), after.column(rows.ROW), same)
    dropped = _dropped([])
    if after.num_rows < before.num_rows:
        gone = keep(before, after.column(rows.ROW), invert=True).column(rows.ROW)
        dropped = _dropped([(row, DROPPED) for row in gone.to_pylist()])
    if rows.REASON in after.schema.names:
        reasons = after.column(rows.REASON)
        marked = reasons.is_valid()
        named = zip(after.column(rows.ROW).filter(marked).to_pylist(), reasons.filter(marked).to_pylist(), strict=True)
        listed = sorted([*named, *zip(*dropped.to_pydict().values(), strict=True)])
        dropped = _dropped(listed) if listed else dropped
        after = after.drop_columns([rows.REASON]).filter(pc.is_null(reasons))
    return after, dropped


def _verify_order(who: str, before: pa.Array, after: pa.Array, same: bool) -> None:
    import pyarrow.compute as pc

    if after.equals(before):
        return
    rising = pc.all(pc.less(after.slice(0, max(0, len(after) - 1)), after.slice(1))).as_py()
    known = pc.all(pc.is_in(after, value_set=before)).as_py()
    if same or rising is False or known is False:
        raise PluginError(f"{who} must return {'every row' if same else 'some of the rows'} it gets, in their order")


def keep(batch: pa.RecordBatch, numbers: pa.Array, *, invert: bool = False) -> pa.RecordBatch:
    """The rows of the batch that have (or with `invert`: do not have) these numbers."""
    import pyarrow.compute as pc

    mask = pc.is_in(batch.column(rows.ROW), value_set=numbers)
    return batch.filter(pc.invert(mask) if invert else mask)


def changes(before: pa.RecordBatch, after: pa.RecordBatch) -> pa.RecordBatch | None:
    """Of the same rows before and after: those whose values differ; None when all are as they were."""
    import pyarrow.compute as pc

    from ftspec.texts import canonical

    mask = None
    for name in sorted({*rows.visible(before), *rows.visible(after)}):
        old, new = rows.column(before, name), rows.column(after, name)
        if old.equals(new):
            continue
        empty = rows.scalar("")
        differs = pc.not_equal(pc.coalesce(canonical(old), empty), pc.coalesce(canonical(new), empty))
        mask = differs if mask is None else pc.or_(mask, differs)
    if mask is None or not pc.any(mask).as_py():
        return None
    return after.filter(mask)


def _dropped(listed: list[tuple[int, str]]) -> pa.RecordBatch:
    import pyarrow as pa

    numbers, reasons = zip(*listed, strict=True) if listed else ((), ())
    return pa.RecordBatch.from_arrays([rows.integers(numbers), rows.strings(reasons)], names=["row", "reason"])


def samples(stage: Stage, dropped: pa.RecordBatch, reason: str) -> list[dict[str, Any]]:
    """Dropped rows as the ledger keeps them: {"row", "reason", "before", "after"}; texts that are withheld are None."""
    numbers = dropped.column(rows.ROW).to_pylist()
    texts = _texts(stage.shown == "both", dropped)
    return [_sample(number, reason, text, None) for number, text in zip(numbers, texts, strict=True)]


def _first_dropped(stage: Stage, batch: pa.RecordBatch, dropped: pa.RecordBatch) -> list[dict[str, Any]]:
    """Samples of the first rows that went, each with its own reason."""
    first = dropped.slice(0, SAMPLES)
    found = [
        samples(stage, keep(batch, rows.integers([number])), reason)
        for number, reason in zip(*(column.to_pylist() for column in first.columns), strict=True)
    ]
    return [each for group in found for each in group]


def _changed_samples(
    stage: Stage, before: pa.RecordBatch, after: pa.RecordBatch, changed: pa.RecordBatch | None
) -> list[dict[str, Any]]:
    if changed is None:
        return []
    numbers = changed.column(rows.ROW).slice(0, SAMPLES)
    old, new = _texts(stage.shown == "both", keep(before, numbers)), _texts(stage.shown != "none", keep(after, numbers))
    pairs = zip(old, new, strict=True)
    return [_sample(number, "changed", *pair) for number, pair in zip(numbers.to_pylist(), pairs, strict=True)]


def _sample(number: int, reason: str, before: Any, after: Any) -> dict[str, Any]:
    return {"row": number, "reason": reason, "before": before, "after": after}


def _texts(shown: bool, batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    """The rows, long texts cut; None for each where texts are withheld."""
    return [rows.map_nested(row, _cut) for row in rows.to_dicts(batch)] if shown else [None] * batch.num_rows


def _cut(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + "…"
