"""Two states of the data side by side: which rows came, went and changed.

Rows are matched by a hash of what they hold (as often as they hold it), and what is left over by where it came from:
the row of the same file and line is the same row, changed. Memory holds 17 bytes a row, and the rows that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.common.records import Record
from ftspec.data import origins
from ftspec.data.spool import read_rows
from ftspec.run.prepared import Prepared

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = ("train", "validation", "test", "prompt")
SHOWN = 5
"""Rows shown of each kind."""


class Shown(Record):
    """A row that only one of both has."""

    origin: str
    side: str
    row: dict[str, Any]


class Changed(Record):
    """A row of both that holds something else."""

    origin: str
    before: dict[str, Any]
    after: dict[str, Any]


class Difference(Record):
    """What differs. `moved` are rows that hold the same and are on another side (each such row stands once in both)."""

    before: str
    after: str
    rows_before: int
    rows_after: int
    same: int
    added: int
    removed: int
    changed: int
    moved: int
    samples_added: tuple[Shown, ...] = ()
    samples_removed: tuple[Shown, ...] = ()
    samples_changed: tuple[Changed, ...] = ()


def compare(before: Prepared, after: Prepared) -> Difference:
    """What became of the finished rows of `before` in `after`."""
    old, new = _keys(before.folder), _keys(after.folder)
    gone, come, same = _unmatched(old, new)
    gone_at, come_at = _places(before.folder, gone), _places(after.folder, come)
    pairs = [(gone_at[place], come_at[place]) for place in gone_at if place in come_at]
    changed_old, changed_new = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    removed = [row for row in gone if row not in changed_old]
    added = [row for row in come if row not in changed_new]
    return Difference(
        before=before.label, after=after.label, rows_before=old.num_rows, rows_after=new.num_rows,
        same=same, added=len(added), removed=len(removed), changed=len(pairs), moved=_moved(old, new),
        samples_added=tuple(_shown(after.folder, added[:SHOWN])),
        samples_removed=tuple(_shown(before.folder, removed[:SHOWN])),
        samples_changed=tuple(_changed(before.folder, after.folder, pairs[:SHOWN])),
    )  # fmt: skip


def _keys(folder: Path) -> pa.Table:
    """Columns key, row and side (an index into SIDES) of every finished row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = [("key", pa.uint64()), ("row", pa.int64()), ("side", pa.int8())]
    batches = []
    for batch in read_rows(folder, SIDES):
        prints = pc.coalesce(rows.fingerprints(batch), rows.binaries([bytes(16)])[0])
        keys = pc.binary_slice(prints, 0, 8).cast(pa.binary(8)).view(pa.uint64())
        sides = pc.index_in(batch.column(rows.SIDE), value_set=rows.strings(SIDES)).cast(pa.int8())
        batches.append(pa.RecordBatch.from_arrays([keys, batch.column(rows.ROW), sides], schema=pa.schema(types)))
    return pa.Table.from_batches(batches, schema=pa.schema(types))


def _unmatched(old: pa.Table, new: pa.Table) -> tuple[list[int], list[int], int]:
    """Row numbers that only one of both has, and how many both have."""
    import pyarrow.compute as pc

    counts = _counts(old, "old").join(_counts(new, "new"), keys="key", join_type="full outer")
    olds, news = (pc.fill_null(counts[name], 0) for name in ("old", "new"))
    same = int(pc.sum(pc.min_element_wise(olds, news)).as_py() or 0)
    differ = pc.not_equal(olds, news)
    keys = counts["key"].filter(differ)
    both = pc.min_element_wise(olds, news).filter(differ)
    matched = {key: count for key, count in zip(keys.to_pylist(), both.to_pylist(), strict=True) if count}
    return _beyond(old, keys, dict(matched)), _beyond(new, keys, dict(matched)), same


def _counts(table: pa.Table, name: str) -> pa.Table:
    counted = table.group_by("key").aggregate([("key", "count")])
    return counted.select(["key", "key_count"]).rename_columns(["key", name])


def _beyond(table: pa.Table, keys: pa.ChunkedArray, matched: dict[int, int]) -> list[int]:
    """The rows of these keys beyond those that are matched, the first ones of each key."""
    import pyarrow.compute as pc

    some = table.filter(pc.is_in(table["key"], value_set=keys))
    left: list[int] = []
    for key, row in zip(some["key"].to_pylist(), some["row"].to_pylist(), strict=True):
        if matched.get(key):
            matched[key] -= 1
        else:
            left.append(row)
    return left


def _places(folder: Path, numbers: list[int]) -> dict[tuple[str, int, int], int]:
    """Row by (file, line, how many of that line came before)."""
    import pyarrow.compute as pc

    table = origins.read(folder).take(pc.subtract(rows.integers(numbers), rows.scalar(1)))
    found: dict[tuple[str, int, int], int] = {}
    seen: dict[tuple[str, int], int] = {}
    for number, file, line in zip(numbers, table["file"].to_pylist(), table["line"].to_pylist(), strict=True):
        at = seen.get((file, line), 0)
        seen[file, line] = at + 1
        found[file, line, at] = number
    return found


def _moved(old: pa.Table, new: pa.Table) -> int:
    import pyarrow.compute as pc

    single = [_single(table) for table in (old, new)]
    both = single[0].join(single[1], keys="key", join_type="inner", right_suffix="_new")
    return int(pc.sum(pc.not_equal(both["side"], both["side_new"])).as_py() or 0)


def _single(table: pa.Table) -> pa.Table:
    """Keys that stand once, with their side."""
    import pyarrow.compute as pc

    counted = table.group_by("key").aggregate([("key", "count"), ("side", "min")])
    once = counted.filter(pc.equal(counted["key_count"], rows.scalar(1)))
    return once.select(["key", "side_min"]).rename_columns(["key", "side"])


def _read(folder: Path, numbers: list[int]) -> dict[int, tuple[str, dict[str, Any]]]:
    """(side, what it holds) of these rows."""
    import pyarrow.compute as pc

    found: dict[int, tuple[str, dict[str, Any]]] = {}
    wanted = rows.integers(numbers)
    for batch in read_rows(folder, SIDES) if numbers else ():
        some = batch.filter(pc.is_in(batch.column(rows.ROW), value_set=wanted))
        listed = zip(
            some.column(rows.ROW).to_pylist(), some.column(rows.SIDE).to_pylist(), rows.to_dicts(some), strict=True
        )
        found |= {number: (side, row) for number, side, row in listed}
        if len(found) == len(numbers):
            break
    return found


def _shown(folder: Path, numbers: list[int]) -> Iterator[Shown]:
    held, places = _read(folder, numbers), _origins(folder, numbers)
    for number in numbers:
        side, row = held[number]
        yield Shown(origin=places[number], side=side, row=row)


def _changed(before: Path, after: Path, pairs: list[tuple[int, int]]) -> Iterator[Changed]:
    olds, news = _read(before, [old for old, _ in pairs]), _read(after, [new for _, new in pairs])
    places = _origins(before, [old for old, _ in pairs])
    for old, new in pairs:
        yield Changed(origin=places[old], before=olds[old][1], after=news[new][1])


def _origins(folder: Path, numbers: list[int]) -> dict[int, str]:
    import pyarrow.compute as pc

    table = origins.read(folder).take(pc.subtract(rows.integers(numbers), rows.scalar(1))).to_pylist()
    return {number: f"{one['file']}:{one['line']}" for number, one in zip(numbers, table, strict=True)}
