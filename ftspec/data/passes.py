"""A pass over the rows that ends with global steps: their rows wait in a Spool until every row's key is known.

Steps that stand next to each other share one pass. Their reductions run one after the other, each on the rows that
those before it kept. A row is known by its position in the spool: numbers do not rise any more once rows were sorted.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.common.errors import PluginError
from ftspec.contracts.engine import Engine, SupportsShuffle
from ftspec.contracts.steps import GlobalStep
from ftspec.data.books import Books
from ftspec.data.cleaning import Stage
from ftspec.data.columns import Column, Memory
from ftspec.data.ordering import Sorter, inverse
from ftspec.data.positions import among, in_order_of, inside, standing
from ftspec.data.reducing import Named, batch_of, reduced
from ftspec.data.samples import SAMPLES
from ftspec.data.segments import Details, Outcome, Segment
from ftspec.data.spool import Spool
from ftspec.files.memory import give_back
from ftspec.items import culprit, guarded
from ftspec.layout.rowcolumns import filled

if TYPE_CHECKING:
    import pyarrow as pa

MANY = 250_000
"""Rows whose keys take memory enough for what batches have freed to be worth giving back first."""


class Pass:
    """One pass: `take` every outcome of the segment, then read the rows that its global steps leave, in their order.

    Args:
        folder: where rows and keys may lie meanwhile.
        memory: what keys may hold in memory.
    """

    def __init__(self, segment: Segment, engine: Engine, books: Books, folder: Path, memory: Memory) -> None:
        self.segment, self.engine, self.folder = segment, engine, folder
        self.ledger, self.findings = books.ledger, books.findings
        self.memory = memory
        self.spool = Spool(folder)
        self.numbers = Column(folder, memory)
        self.keys = [Column(folder, memory) for _ in segment.keys]
        self.seconds = [0.0] * len(segment.keys)
        self.columns: set[str] = set()
        self.left: pa.Array | None = None
        """Positions of the rows that are left, in their order; None while that is all of them, as they came."""
        self.sorted = False
        self.samples: dict[int, int] = {}
        """Position of a dropped row that is shown → index of the step that dropped it."""

    def take(self, outcome: Outcome) -> None:
        if outcome.batch.num_rows == 0:
            return
        self.spool.write(outcome.batch, outcome.held)
        self.numbers.append(outcome.batch.column(rows.ROW))
        self.columns.update(filled(outcome.batch))
        for index, (keys, seconds) in enumerate(zip(outcome.keys, outcome.key_seconds, strict=True)):
            self._append(self.segment.keys[index], "keys", self.keys[index], keys)
            self.seconds[index] += seconds

    def read(self) -> Iterator[pa.RecordBatch]:
        """The rows that are left, once."""
        for index in range(len(self.keys)):
            self._give_back()
            self._reduce(index)
        for column in (self.numbers, *self.keys):
            column.close()
        self._give_back()
        yield from self._in_new_order() if self.sorted else self._kept()
        self.spool.close()

    def _give_back(self) -> None:
        """Before something takes much memory, or after it. That takes some milliseconds, and pages are taken anew."""
        if len(self.numbers) >= MANY:
            give_back()

    def _reduce(self, index: int) -> None:
        """One step's reduction, on the rows that are left."""
        stage, step = self.segment.keys[index], self.segment.key_steps[index]
        started = time.perf_counter()
        with self._keys_left(index) as keys, self._left(self.numbers) as numbers:
            dropped = self._dropped(stage, step, keys, numbers)
            if dropped.num_rows:
                self._verify(stage, dropped, numbers.whole())
            seconds = self.seconds[index] + time.perf_counter() - started
            self.ledger.saw(stage.index, len(numbers), seconds, self.columns)
            self.ledger.drop(stage.index, dropped, step.reason)
            if dropped.num_rows:
                self._drop(index, dropped.column(0), numbers)
        if step.sort:
            with self._left(self.keys[index]) as keys, guarded(stage.item, self.segment.registry, "sort"):
                self._sort(keys)

    def _dropped(self, stage: Stage, step: GlobalStep, keys: Column, numbers: Column) -> pa.RecordBatch:
        import pyarrow as pa

        if not len(numbers) or (step.reduce is None and step.closer is None):
            return pa.RecordBatch.from_arrays([rows.integers([]), rows.integers([])], names=["row", "because"])
        if step.closer is None:
            made = reduced(self.segment, self.engine, stage, step, keys, numbers, self.findings)
        else:
            made = self._closer(stage, step, keys, numbers)
        return made.sort_by("row")

    def _closer(self, stage: Stage, step: GlobalStep, keys: Column, numbers: Column) -> pa.RecordBatch:
        """The rows that the step wants to see again are read from the spool once more."""
        assert step.closer is not None
        if step.closer.spread is not None and isinstance(self.engine, SupportsShuffle):
            shuffles = Named(self.engine, self.segment, stage)
            with guarded(stage.item, self.segment.registry):
                spread = step.closer.spread(shuffles, keys.whole(), numbers.whole(), self._placed)
                return batch_of(spread, stage, self.findings)
        with guarded(stage.item, self.segment.registry):
            wanted = step.closer.wanted(keys.whole(), numbers.whole())
        self._known(stage, "wants to look at rows", wanted, numbers.whole())
        with ExitStack() as held:
            looked, details = (held.enter_context(closing(Column(self.folder, self.memory))) for _ in range(2))
            work = Details(self.segment.folder, self.segment.registry, stage)
            for found, values in self.engine.map(work, self._again(wanted)):
                looked.append(found)
                self._append(stage, "details", details, values)
            self._give_back()
            if self.sorted and len(looked):
                order = in_order_of(looked.whole(), numbers.whole())
                looked, details = (held.enter_context(closing(_taken(each, order))) for each in (looked, details))
            arrays = [column.whole() for column in (keys, numbers, looked, details)]
            if not len(looked):
                arrays[2] = rows.integers([])
            self._give_back()
            with guarded(stage.item, self.segment.registry):
                return batch_of(step.closer.reduce(*arrays), stage, self.findings)

    def _verify(self, stage: Stage, dropped: pa.RecordBatch, numbers: pa.Array) -> None:
        """Raise PluginError where the step drops a row that it was not given, or one twice, or because of another."""
        import pyarrow.compute as pc

        gone = dropped.column("row")  # sorted
        self._known(stage, "drops rows", gone, numbers)
        self._known(stage, "drops rows because of rows", dropped.column("because"), numbers)
        if pc.any(pc.equal(gone.slice(1), gone.slice(0, len(gone) - 1))).as_py():
            raise self._fault(stage, "drops a row twice")

    def _known(self, stage: Stage, what: str, some: pa.Array, numbers: pa.Array) -> None:
        """Raise PluginError where some of the rows are none of those with these numbers."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not isinstance(some, pa.Array | pa.ChunkedArray) or not pa.types.is_integer(some.type):
            raise self._fault(stage, f"{what}, but not by an array of their numbers")
        if not len(some):
            return
        if some.null_count:
            raise self._fault(stage, f"{what}, one of which is null")
        bounds, given = pc.min_max(some), pc.min_max(numbers)
        within = given["min"].as_py() <= bounds["min"].as_py() and bounds["max"].as_py() <= given["max"].as_py()
        if not within or not pc.all(among(some, numbers)).as_py():
            raise self._fault(stage, f"{what} that it was not given")

    def _fault(self, stage: Stage, what: str) -> PluginError:
        hint = "a row is known by its number: those of the array of rows that the step was given"
        return PluginError(f"{culprit(stage.item, self.segment.registry)} {what}", hint)

    def _append(self, stage: Stage, what: str, column: Column, values: pa.Array) -> None:
        """Raises PluginError for values of another type than those of batches before: they cannot be compared."""
        try:
            column.append(values)
        except TypeError as error:
            who = culprit(stage.item, self.segment.registry)
            hint = "make them of one type, whatever a batch holds: `rows.fingerprints` does"
            raise PluginError(f"{who} made {what} of several types: {error}", hint) from error

    def _again(self, wanted: pa.Array) -> Iterator[pa.RecordBatch]:
        """The spooled rows with these numbers, as they came."""
        positions = standing(self.numbers.whole(), wanted)
        for batch, start, _ in self._batches():
            here = inside(positions, start, start + batch.num_rows)
            if len(here):
                yield batch.take(here)

    def _placed(self, places: pa.Array) -> Iterator[pa.RecordBatch]:
        """The spooled rows at these places among those that are left, as they came, each with its place."""
        import pyarrow.compute as pc

        positions = places if self.left is None else self.left.take(places)
        order = pc.sort_indices(positions)
        positions, places = positions.take(order), places.take(order)
        first = 0
        for batch, start, _ in self._batches():
            here = inside(positions, start, start + batch.num_rows)
            if len(here):
                made = batch.take(here)
                yield made.append_column(rows.PLACE, places.take(rows.integers(range(first, first + len(here)))))
                first += len(here)

    def _drop(self, index: int, dropped: pa.Array, numbers: Column) -> None:
        """Take rows away by their numbers; the first few are kept as samples."""
        import pyarrow.compute as pc

        gone = among(numbers.whole(), dropped)
        positions = self.left if self.left is not None else rows.integers(range(len(numbers)))
        first = positions.filter(gone)
        for position in first.take(pc.sort_indices(first).slice(0, SAMPLES)).to_pylist():
            self.samples[position] = index
        self.left = positions.filter(pc.invert(gone))

    def _sort(self, keys: Column) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        here = self.left if self.left is not None else rows.integers(range(len(keys)))
        places = rows.integers(range(len(keys)))
        table = pa.Table.from_arrays([keys.whole(), places], names=["key", "place"])
        order = pc.sort_indices(table, sort_keys=[("key", "ascending"), ("place", "ascending")])
        self.left, self.sorted = here.take(order), True

    @contextmanager
    def _keys_left(self, index: int) -> Iterator[Column]:
        """A step's keys of the rows that are left. The whole is given up for them, unless rows have been sorted, or are
        going to be by these."""
        if self.left is not None and not self.sorted and not self.segment.key_steps[index].sort:
            self.keys[index] = self.keys[index].keep(self.left)
            try:
                yield self.keys[index]
            finally:
                self.keys[index].close()
            return
        with self._left(self.keys[index]) as keys:
            yield keys

    @contextmanager
    def _left(self, column: Column) -> Iterator[Column]:
        """The values of the rows that are left."""
        if self.left is None:
            yield column
            return
        made = column.take(self.left)
        try:
            yield made
        finally:
            made.close()

    def _kept(self) -> Iterator[pa.RecordBatch]:
        for batch, start, shown in self._batches(samples=True):
            self._sample(shown)
            if self.left is not None:
                here = inside(self.left, start, start + batch.num_rows)
                if len(here) == 0:
                    continue
                batch = batch if len(here) == batch.num_rows else batch.take(here)
            yield batch

    def _in_new_order(self) -> Iterator[pa.RecordBatch]:
        assert self.left is not None
        positions, places = inverse(self.left)
        sorter = Sorter(self.folder, len(positions), self.spool.bytes)
        for batch, start, shown in self._batches(samples=True):
            self._sample(shown)
            first = bisect_left(positions, start, key=lambda number: number.as_py())
            here = inside(positions, start, start + batch.num_rows)
            if len(here):
                sorter.add(batch.take(here), places.slice(first, len(here)))
        self.left = None
        yield from sorter.read()

    def _batches(self, *, samples: bool = False) -> Iterator[tuple[pa.RecordBatch, int, list[tuple[int, Any]]]]:
        """(batch, position of its first row, (step, row) of the samples in it)."""
        start = 0
        shown = sorted(self.samples.items()) if samples else []
        for batch in self.spool.read():
            end = start + batch.num_rows
            here = [(step, batch.slice(at - start, 1)) for at, step in shown if start <= at < end]
            yield batch, start, here
            start = end

    def _sample(self, shown: list[tuple[int, Any]]) -> None:
        for index, row in shown:
            self.ledger.sample(self.segment.keys[index], row, self.segment.key_steps[index].reason)


def _taken(column: Column, places: pa.Array) -> Column:
    """A column of the values at these places, in their order, which is on disk where the first one is."""
    with closing(column):
        return column.take(places)
