"""A global step's reduction: on all keys at once, on parts of them where they are many, or by the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.contracts.engine import Engine, SupportsReduce, SupportsShuffle, Work
from ftspec.contracts.steps import Dropped, GlobalStep
from ftspec.data.cleaning import Stage
from ftspec.data.columns import PIECE, Column
from ftspec.data.findings import Findings
from ftspec.data.segments import OfStep, Reduction, Segment, columns_of
from ftspec.items import guarded
from ftspec.registry import Registry

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = 16
"""Parts in which many keys are reduced."""
TABLES = 8
"""Times its keys that a reduction may need: the hash table of 16-byte keys is up to five times as large as they are."""


def reduced(
    segment: Segment, engine: Engine, stage: Stage, step: GlobalStep, keys: Column, numbers: Column, findings: Findings
) -> pa.RecordBatch:
    """What the step drops: columns row and because, in any order. What it finds of all rows goes into `findings`."""
    import pyarrow as pa

    assert step.reduce is not None
    partible = step.scope == "key" and not pa.types.is_nested(keys.whole().type)
    if partible and isinstance(engine, SupportsReduce):
        work = Reduction(segment.folder, segment.registry, stage)
        return _together(list(engine.reduce(work, _pieces(keys, numbers))))
    if partible and (keys.spilled or keys.held * TABLES > keys.memory.limit):
        return _together(list(_by_parts(segment, stage, step, keys, numbers)))
    with guarded(stage.item, segment.registry):
        return batch_of(step.reduce(keys.whole(), numbers.whole()), stage, findings)


def batch_of(dropped: Dropped, stage: Stage, findings: Findings) -> pa.RecordBatch:
    """What a step's one look at all rows drops; what it finds goes into `findings`."""
    findings.judge(stage.item, dropped.findings)
    return columns_of(dropped)


class Named:
    """An engine that shuffles, as a step that spreads its closer look gets it: what goes wrong names the step."""

    def __init__(self, engine: SupportsShuffle, segment: Segment, stage: Stage) -> None:
        self.engine, self.segment, self.stage = engine, segment, stage

    def hold(self, work: Work, items: Any) -> Any:
        return self.engine.hold(self._named(work), items)

    def shuffle(self, work: Work, *held: Any) -> Any:
        return self.engine.shuffle(self._named(work), *held)

    def fetch(self, held: Any) -> Iterator[pa.RecordBatch]:
        return self.engine.fetch(held)

    def _named(self, work: Work) -> Work:
        return OwnWork(self.segment.folder, self.segment.registry, self.stage, work)


class OwnWork(OfStep):
    """Work of the step's own making."""

    def __init__(self, folder: Path, registry: Registry, stage: Stage, work: Work) -> None:
        super().__init__(folder, registry, stage)
        self.work = work

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"work": self.work}

    def __call__(self, item: Any) -> Any:
        try:
            return self.work(item)
        except Exception:  # only now are all plugins loaded, to say whose work it is
            with guarded(self.stage.item, self.registry):
                raise


def _pieces(keys: Column, numbers: Column) -> Iterator[pa.RecordBatch]:
    """Columns key, row and place, in order."""
    import pyarrow as pa

    all_keys, all_numbers = keys.whole(), numbers.whole()
    for start in range(0, len(all_keys), PIECE):
        key, row = all_keys.slice(start, PIECE), all_numbers.slice(start, PIECE)
        place = rows.integers(range(start, start + len(key)))
        yield pa.RecordBatch.from_arrays([key, row, place], names=["key", "row", "place"])


def _by_parts(
    segment: Segment, stage: Stage, step: GlobalStep, keys: Column, numbers: Column
) -> Iterator[pa.RecordBatch]:
    """The rows in PARTS by a hash of their key, each part with all rows of its keys in their order."""
    import pyarrow.compute as pc

    assert step.reduce is not None
    parts = [(Column(keys.folder, keys.memory), Column(keys.folder, keys.memory)) for _ in range(PARTS)]
    for piece in _pieces(keys, numbers):
        which = rows.part_of(piece.column("key"), PARTS)
        for index, (some_keys, some_numbers) in enumerate(parts):
            here = piece.filter(pc.equal(which, rows.scalar(index)))
            some_keys.append(here.column("key"))
            some_numbers.append(here.column("row"))
    for some_keys, some_numbers in parts:
        if len(some_keys):
            with guarded(stage.item, segment.registry):
                yield columns_of(step.reduce(some_keys.whole(), some_numbers.whole()))
        some_keys.close()
        some_numbers.close()


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.concat_batches(batches) if batches else columns_of(Dropped(rows.integers([]), rows.integers([])))
