"""What each step did to which row: counts for people, an entry for every dropped row, a few samples.

`ledger.arrow` holds one entry per dropped row, by row number: row, step, reason, and the row because of which it went
(itself, but for duplicates). Samples never hold what a step with `private` removed: see `cleaning.Stage`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.common.records import Record, StepCount
from ftspec.data import origins
from ftspec.data.cleaning import Done, Stage
from ftspec.data.columns import Column, Memory
from ftspec.data.origins import Origins
from ftspec.data.samples import SAMPLES, of_rows
from ftspec.data.spool import read_rows

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "ledger.arrow"
COLUMNS = ("row", "step", "reason", "because")
BLOCK_ROWS = 1 << 16
WITNESS = " ← "
"""In a reason: what stands behind it is of this row alone, and not counted apart."""


class Tally:
    """What one step has done so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows_in = self.rows_out = self.changed = 0
        self.seconds = 0.0
        self.reasons: Counter[str] = Counter()
        self.samples: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        self.columns: set[str] = set()

    def keep_sample(self, sample: dict[str, Any]) -> None:
        kept = self.samples[sample["reason"] == "changed"]
        if len(kept) < SAMPLES:
            kept.append(sample)

    def count(self, origins: Origins) -> StepCount:
        return StepCount(
            name=self.name,
            rows_in=self.rows_in,
            rows_out=self.rows_out,
            changed=self.changed,
            seconds=round(self.seconds, 6),
            reasons=dict(sorted(self.reasons.items())),
            samples=tuple(_located(each, origins) for kept in self.samples.values() for each in kept),
        )


class Ledger:
    """Collects what the steps did, in the order of the rows."""

    def __init__(self, origins: Origins, folder: Path | None = None, memory: Memory | None = None) -> None:
        """`folder` is where entries may lie that do not fit the memory."""
        self.origins = origins
        self.tallies: list[Tally] = []
        self.why: dict[tuple[str, str], int] = {}
        """Each (step, reason) that there is, by number."""
        where, budget = folder or Path(tempfile.gettempdir()), memory or Memory(1 << 30)
        self.entries = tuple(Column(where, budget) for _ in range(3))
        """Of each dropped row: its number, the number of the step and reason, the row because of which it went."""

    def step(self, name: str) -> int:
        """Open an account for a step; returns its index. A name that is taken gets a number."""
        taken = sum(tally.name.partition(" #")[0] == name for tally in self.tallies)
        self.tallies.append(Tally(f"{name} #{taken + 1}" if taken else name))
        return len(self.tallies) - 1

    def read(self, index: int, good: int, bad: int, seconds: float) -> None:
        """A source read this many rows, and lines that are none."""
        tally = self.tallies[index]
        tally.rows_in += good + bad
        tally.rows_out += good
        tally.seconds += seconds
        if bad:
            tally.reasons["unreadable"] += bad

    def add(self, done: Done) -> None:
        """What a step did to one batch."""
        tally = self.tallies[done.step]
        tally.rows_in += done.rows_in
        tally.rows_out += done.rows_out
        tally.changed += done.changed
        tally.seconds += done.seconds
        tally.columns.update(done.columns)
        for each in done.samples:
            tally.keep_sample(each)
        if done.dropped.num_rows:
            numbers, reasons, _ = done.dropped.columns
            for each in reasons.value_counts().to_pylist():
                tally.reasons[each["values"].partition(WITNESS)[0]] += each["counts"]
            self._enter(done.step, numbers, reasons, numbers)

    def saw(self, index: int, count: int, seconds: float, columns: Iterable[str]) -> None:
        """A global step has seen so many rows, with these columns; what it drops is told by `drop`."""
        tally = self.tallies[index]
        tally.rows_in += count
        tally.rows_out += count
        tally.seconds += seconds
        tally.columns.update(columns)

    def sample(self, stage: Stage, dropped: pa.RecordBatch, reason: str) -> None:
        """Rows that a global step dropped, for people to see."""
        for each in of_rows(stage.shown, dropped, reason):
            self.tallies[stage.index].keep_sample(each)

    def drop(self, index: int, dropped: pa.RecordBatch, reason: str) -> None:
        """Rows that a global step dropped: columns row and because."""
        numbers, because = dropped.columns
        tally = self.tallies[index]
        tally.rows_out -= len(numbers)
        if len(numbers):
            tally.reasons[reason] += len(numbers)
            self._enter(index, numbers, rows.repeated(reason, len(numbers)), because)

    def counts(self) -> tuple[StepCount, ...]:
        return tuple(tally.count(self.origins) for tally in self.tallies)

    def write(self, folder: Path) -> None:
        """`ledger.arrow`, in blocks of one size, by row number: a row is dropped once, so the order is total."""
        import pyarrow as pa
        import pyarrow.compute as pc

        types = [pa.int64(), pa.string(), pa.string(), pa.int64()]
        schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
            numbers, codes, because = (column.whole() for column in self.entries)
            order = pc.sort_indices(numbers)
            steps, reasons = (rows.strings(column) for column in zip(*self.why, strict=True)) if self.why else ([], [])
            for start in range(0, len(order), BLOCK_ROWS):
                here = order.slice(start, BLOCK_ROWS)
                which = codes.take(here)
                arrays = [numbers.take(here), steps.take(which), reasons.take(which), because.take(here)]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))

    def _enter(self, index: int, numbers: pa.Array, reasons: pa.Array, because: pa.Array) -> None:
        encoded, name = reasons.dictionary_encode(), self.tallies[index].name
        codes = [self.why.setdefault((name, reason), len(self.why)) for reason in encoded.dictionary.to_pylist()]
        which = rows.integers(codes).take(encoded.indices)
        for column, values in zip(self.entries, (numbers, which, because), strict=True):
            column.append(values)


def _located(sample: dict[str, Any], origins: Origins) -> dict[str, Any]:
    return {**sample, "origin": origins.where(sample["row"])}


class Life(Record):
    """What became of one row. `step` and `reason` are "" for a row that was kept, and then `side` says where it is."""

    row: int
    origin: str
    side: str = ""
    step: str = ""
    reason: str = ""
    because: str = ""


def lives(folder: Path, file: str, line: int) -> list[Life]:
    """What `pipeline.prepare` did to the rows of a line (one, unless sources repeat it), told from what it left."""
    import pyarrow.compute as pc

    table = origins.read(folder)
    here = pc.and_(pc.equal(table["file"], rows.scalar(file)), pc.equal(table["line"], rows.scalar(line)))
    return [_life(folder, table, index + 1) for index in pc.indices_nonzero(here).to_pylist()]


def dropped(folder: Path) -> Iterator[Life]:
    """Every row that a step dropped, in the order of the rows, told from what `pipeline.prepare` left."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = origins.read(folder)
    with pa.memory_map(str(folder / FILE)) as source:
        reader = pa.ipc.open_file(source)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            here, because = (
                [f"{one['file']}:{one['line']}" for one in table.take(pc.subtract(batch[name], 1)).to_pylist()]
                for name in ("row", "because")
            )
            for entry, origin, witness in zip(batch.to_pylist(), here, because, strict=True):
                yield _gone(entry, origin, witness)


def files(folder: Path) -> list[str]:
    """The files that rows came from, in the order of the rows."""
    import pyarrow.compute as pc

    names: list[str] = pc.unique(origins.read(folder)["file"]).to_pylist()
    return names


def last_line(folder: Path, file: str) -> int:
    """The last line of a file that a row came from."""
    import pyarrow.compute as pc

    table = origins.read(folder)
    last: int = pc.max(table["line"].filter(pc.equal(table["file"], rows.scalar(file)))).as_py()
    return last


def _life(folder: Path, table: pa.Table, row: int) -> Life:
    origin = _place(table, row)
    for entry in _entries(folder, row):
        return _gone(entry, origin, _place(table, entry["because"]))
    return Life(row=row, origin=origin, side=_side(folder, row))


def _gone(entry: Mapping[str, Any], origin: str, because: str) -> Life:
    """An entry of `ledger.arrow`; a row that went because of itself has no other to be named."""
    own = entry["because"] == entry["row"]
    reason = {"step": entry["step"], "reason": entry["reason"], "because": "" if own else because}
    return Life(row=entry["row"], origin=origin, **reason)


def _place(table: pa.Table, row: int) -> str:
    (one,) = table.slice(row - 1, 1).to_pylist()
    return f"{one['file']}:{one['line']}"


def locator(folder: Path) -> Callable[[int], tuple[str, int]]:
    """From a row's number to its file and line, by what `pipeline.prepare` left."""
    table = origins.read(folder)

    def locate(row: int) -> tuple[str, int]:
        (one,) = table.slice(row - 1, 1).to_pylist()
        return one["file"], one["line"]

    return locate


def _entries(folder: Path, row: int) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    with pa.memory_map(str(folder / FILE)) as source:
        table = pa.ipc.open_file(source).read_all()
    entries: list[dict[str, Any]] = table.filter(pc.equal(table["row"], rows.scalar(row))).to_pylist()
    return entries


def _side(folder: Path, row: int) -> str:
    for batch in read_rows(folder, ("train", "validation", "test", "prompt")):
        numbers = batch.column(rows.ROW).to_pylist()
        if row in numbers:
            return str(batch.column(rows.SIDE)[numbers.index(row)])
    return ""
