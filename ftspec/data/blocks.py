"""A cache of what steps make of a batch: named by the steps (ftspec.data.prefixes) and by the batch's content.

So after an edit of step five, steps one to four are not run again, and after a new file only its rows are. An entry
(ftspec.data.entries) holds row numbers as positions in the batch that came in: rows may have moved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ftspec import rows
from ftspec.common.errors import Finding
from ftspec.common.messages import Prompt
from ftspec.common.references import secret_names
from ftspec.data import entries, prefixes
from ftspec.data.cleaning import Done
from ftspec.data.segments import Outcome, Segment
from ftspec.data.spool import Held
from ftspec.layout.arrays import as_numpy, from_numpy, stream

if TYPE_CHECKING:
    import pyarrow as pa

WORTH = 1e-8
"""Seconds of work per byte of a batch from which on its result is kept: writing and reading it take a fifth of that."""


def first_kept(segment: Segment) -> int | None:
    """After how many of its steps what a segment makes may be kept: texts that a private step will remove must not be.

    None where that step is not in this segment but later.
    """
    shown = [stage.shown for stage in segment.stages]
    if "after" in shown:
        return shown.index("after") + 1
    return None if "none" in shown or any(stage.shown != "both" for stage in segment.keys) else 0


class Cached:
    """Work for an engine: a Segment that looks first whether it has seen the batch.

    Args:
        folder: where entries are; it must exist.
        first: no result of fewer steps than this is kept: see `first_kept`.
        worth: see WORTH.
    """

    def __init__(self, segment: Segment, folder: Path, first: int, worth: float = WORTH) -> None:
        self.segment, self.folder, self.first, self.worth = segment, folder, first, worth
        self.marks = prefixes.marks(segment)
        self.seed = entries.seed(folder)
        told = [bool(secret_names(stage.item.options)) for stage in segment.stages]
        count = len(told)
        self.last = told.index(True) if True in told else count if segment.secrets else count + 1
        """No result of more steps than this is kept or looked for: a name tells no secret, so another would do."""
        self.there = {mark for mark in self.marks if entries.is_there(folder, mark)}
        """Marks of which something was kept before: of the others nothing is looked for."""

    @property
    def rowwise(self) -> bool:
        return self.segment.rowwise

    @property
    def secrets(self) -> set[str]:
        return self.segment.secrets

    def __call__(self, batch: pa.RecordBatch) -> Outcome:
        if batch.num_rows == 0:
            return self.segment(batch)
        count = len(self.segment.stages)
        name = _Names(batch, self.marks, self.seed, absolute_end=self.segment.last)
        numbers = batch.column(rows.ROW)
        point, outcome = self._known(name, numbers)
        if outcome is None:
            point, outcome = 0, self.segment.begin(batch)
        started = time.perf_counter()
        for index in range(point, count):
            outcome = self.segment.advance(outcome, index)
            if index + 1 < count and self._is_worth(started, batch, index + 1):
                self._keep(name.of(index + 1), outcome, numbers)
                started = time.perf_counter()
        if point <= count:
            outcome = self.segment.end(outcome)
            kept = self.last > count and self._is_worth(started, batch, count + self.segment.last)
            held = self._keep(name.of(count + 1), outcome, numbers) if kept else None
            outcome = outcome._replace(held=held)
        return outcome._replace(reused=point)

    def _is_worth(self, started: float, batch: pa.RecordBatch, point: int) -> bool:
        return self.first <= point <= self.last and time.perf_counter() - started >= self.worth * batch.nbytes

    def _known(self, name: _Names, numbers: pa.Array) -> tuple[int, Outcome | None]:
        """(how many steps, what they made): the longest prefix that is known; the end counts as one step more."""
        count = len(self.segment.stages)
        for point in range(min(count + 1, self.last), 0, -1):
            if self.marks[point] in self.there:
                outcome = self._read(name.of(point), numbers)
                if outcome is not None:
                    return point, outcome
        return 0, None

    def _keep(self, name: str, outcome: Outcome, numbers: pa.Array) -> Held | None:
        """An outcome that tells of rows that are none of the batch's (a plugin's mistake, which is the same without a
        cache) is not kept."""
        with suppress(ForeignRowError):
            return _numbered(entries.write(self.folder, name, self._moved(outcome, _Places(numbers))), numbers)
        return None

    def _read(self, name: str, numbers: pa.Array) -> Outcome | None:
        found = entries.read(self.folder, name)
        if found is None:
            return None
        return self._moved(found, _Numbers(numbers), back=True)._replace(held=_numbered(found.held, numbers))

    def _moved(self, outcome: Outcome, places: Any, *, back: bool = False) -> Outcome:
        """The outcome with other row numbers, and steps by their place in the segment (or `back` by their account)."""
        stages = [*self.segment.stages, *([self.segment.form] if self.segment.form else [])]
        accounts = [stage.index for stage in stages]
        done = [
            _moved_done(each, places, accounts[each.step] if back else accounts.index(each.step), fresh=not back)
            for each in outcome.done
        ]
        batch = outcome.batch
        if batch.num_rows:
            at = batch.schema.get_field_index(rows.ROW)
            batch = batch.set_column(at, rows.ROW, places.array(batch.column(at)))
        return outcome._replace(
            batch=batch,
            done=done,
            findings=[_moved_finding(each, places) for each in outcome.findings],
            prompts=_moved_prompts(outcome.prompts, places),
        )


def _numbered(held: Held | None, numbers: pa.Array) -> Held | None:
    """With the number of its first row; None where the others do not follow from that."""
    first = numbers[0].as_py()
    rise = numbers.equals(rows.integers(range(first, first + len(numbers))))
    return held._replace(first=first) if held and rise else None


class ForeignRowError(LookupError):
    """A row number that is none of the batch's."""


class _Places:
    """Row numbers → positions in the batch. Raises ForeignRowError."""

    def __init__(self, numbers: pa.Array) -> None:
        import numpy as np

        self.numbers = as_numpy(numbers)
        self.order = None if (np.diff(self.numbers) == 1).all() else np.argsort(self.numbers, kind="stable")
        """None where each is one more than the one before: positions follow from the first."""

    def array(self, some: pa.Array) -> pa.Array:
        import numpy as np

        wanted = as_numpy(some)
        if self.order is None:
            found = np.clip(wanted - self.numbers[0], 0, len(self.numbers) - 1)
        else:
            found = self.order.take(np.searchsorted(self.numbers, wanted, sorter=self.order), mode="clip")
        if (self.numbers[found] != wanted).any():
            raise ForeignRowError
        return from_numpy(found)

    def one(self, row: int) -> int:
        return int(self.array(rows.integers([row]))[0].as_py())


class _Numbers:
    """Positions in the batch → row numbers."""

    def __init__(self, numbers: pa.Array) -> None:
        self.numbers = numbers

    def array(self, some: pa.Array) -> pa.Array:
        return self.numbers.take(some)

    def one(self, row: int) -> int:
        return int(self.numbers[row].as_py())


def _moved_done(done: Done, places: Any, step: int, *, fresh: bool) -> Done:
    dropped = done.dropped.set_column(0, "row", places.array(done.dropped.column(0)))
    shown = places.array(rows.integers([sample["row"] for sample in done.samples])).to_pylist()
    samples = [{**sample, "row": row} for sample, row in zip(done.samples, shown, strict=True)]
    findings = [_moved_finding(each, places) for each in done.findings]
    seconds = done.seconds if fresh else 0.0
    return done._replace(step=step, dropped=dropped, samples=samples, findings=findings, seconds=seconds)


def _moved_prompts(prompts: Sequence[tuple[int, Prompt]], places: Any) -> list[tuple[int, Prompt]]:
    """All at once: there may be as many as rows."""
    found = places.array(rows.integers([row for row, _ in prompts])).to_pylist() if prompts else []
    return [(row, prompt) for row, (_, prompt) in zip(found, prompts, strict=True)]


def _moved_finding(finding: Finding, places: Any) -> Finding:
    return finding if finding.row is None else replace(finding, row=places.one(finding.row))


class _Names:
    """Names of what is made of a batch: by the mark of the steps, and by the rows' content.

    Row numbers are no part of it, but (with `absolute_end`) in the name of the end, where they enter what is made.
    The content is looked at when a name is asked for.
    """

    def __init__(self, batch: pa.RecordBatch, marks: list[str], seed: int, *, absolute_end: bool) -> None:
        self.batch, self.marks, self.seed, self.absolute_end = batch, marks, seed, absolute_end

    def of(self, point: int) -> str:
        """After so many steps; one more is the end."""
        at_end = point == len(self.marks) - 1
        return self.marks[point] + (self._end if at_end and self.absolute_end else self._content)

    @cached_property
    def _content(self) -> str:
        return self._digest(*stream(self.batch.drop_columns([rows.ROW])))

    @cached_property
    def _end(self) -> str:
        return self._digest(self._content.encode(), *stream(self.batch.select([rows.ROW])))

    def _digest(self, *pieces: Any) -> str:
        from xxhash import xxh3_128

        state = xxh3_128(seed=self.seed)
        for piece in pieces:
            state.update(piece)
        return state.hexdigest()


class Reuse:
    """How much of a segment's work the cache knew, to tell people."""

    def __init__(self, segment: Segment) -> None:
        self.names = [stage.item.name for stage in (*segment.stages, *segment.keys)]
        if segment.last:
            self.names.append(segment.form.item.name if segment.form else "checks")
        self.rows = self.reused = 0
        self.steps = len(self.names)

    def count(self, outcome: Outcome) -> None:
        rows_in = outcome.done[0].rows_in if outcome.done else outcome.batch.num_rows
        self.rows += rows_in
        if outcome.reused:
            self.reused += rows_in
            self.steps = min(self.steps, outcome.reused)

    def __str__(self) -> str:
        """Empty where nothing was known."""
        if not self.reused or not self.names:
            return ""
        last = self.names[self.steps - 1]
        return f"{self.reused:,} of {self.rows:,} rows were cleaned before, up to {last}: taken from the cache"
