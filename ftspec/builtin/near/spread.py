"""Near-duplicates on an engine that shuffles: the pairs of join.py, none of whose steps is done in one place.

1. Rows come together by the total of their set: all but the first of equal ones are dropped and go no further.
2. The others come together by band. Rows that few share it with are paired; of the rest it is noted that they stand in
   a crowd. What the driver learns is which rows these are, and it sends them out once more, for their sets.
3. Rows in crowds come together by the rare elements of their sets (crowds.py), and are paired.
4. Sets are sent to where the pairs are that need them (a pair belongs to the bucket of its first row), and compared. Of
   the pairs that are similar, no more leaves a part than says which rows are in one group: fewer than its rows.

So the driver holds two flags per row, the numbers of rows that are dropped or looked at, and those pairs. The keys lie
where core has them, on disk when they are many, and are sent out piece by piece. Sets it holds of a sample only.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import api, rows
from ftspec.builtin.near import crowds
from ftspec.builtin.near import spreadwork as work
from ftspec.builtin.near.duplicates import Near
from ftspec.builtin.near.groups import Groups
from ftspec.builtin.near.sets import read_sets
from ftspec.compiled.hashes import distinct

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

PIECE = 1 << 16
"""Rows whose keys are sent out together."""
BUCKETS = 64
"""Of pairs, at least; one more for each PIECE of rows. With more of them, less is compared in one place, and sets are
sent to more places."""


def dropped(
    near: Near, engine: api.SupportsShuffle, keys: pa.Array, numbers: pa.Array, again: api.Again
) -> api.Dropped:
    """What `near.reduce` drops."""
    import numpy as np

    repeated, first = _repeated(near, engine, keys)
    met = _met(near, engine, keys, repeated)
    member, root = _grouped(near, engine, met, again)
    gone = member != root
    places = np.concatenate([repeated, member[gone]])
    because = np.concatenate([_replaced(first, member, root), root[gone]])
    return api.Dropped(numbers.take(rows.from_numpy(places)), numbers.take(rows.from_numpy(because)))


def _repeated(near: Near, engine: api.SupportsShuffle, keys: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows whose set an earlier one has too, rising; the first one that has it)."""
    import numpy as np

    totals = engine.hold(partial(work.by_total, near), _pieces(keys))
    place, first = _fetched(engine, engine.shuffle(work.repeated, totals), 2)
    order = np.argsort(place)
    return place[order], first[order]


class Met(NamedTuple):
    """Rows that share a band: which they are, which of them stand in a crowd, and the pairs of the others (held)."""

    wanted: NDArray[np.int64]
    crowded: NDArray[np.bool_]
    pairs: Any
    buckets: int


def _met(near: Near, engine: api.SupportsShuffle, keys: pa.Array, gone: NDArray[np.int64]) -> Met:
    import numpy as np

    buckets = BUCKETS + len(keys) // PIECE
    bands = engine.hold(partial(work.by_band, near), _pieces(keys, gone))
    pairs = engine.shuffle(partial(work.met, buckets), bands)
    wanted: NDArray[np.bool_] = np.zeros(len(keys), np.bool_)
    crowded: NDArray[np.bool_] = np.zeros(len(keys), np.bool_)
    for batch in engine.fetch(engine.hold(work.met_places, pairs)):
        place, in_crowd = (rows.as_numpy(column) for column in batch.columns)
        wanted[place] = True
        crowded[place[in_crowd]] = True
    return Met(np.flatnonzero(wanted), crowded, pairs, buckets)


def _grouped(
    near: Near, engine: api.SupportsShuffle, met: Met, again: api.Again
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows that have a near-duplicate, rising; the first one of their group)."""
    import numpy as np

    if not len(met.wanted):
        return met.wanted, met.wanted
    sets = engine.hold(partial(work.by_place, near), _with_crowds(again(rows.from_numpy(met.wanted)), met.crowded))
    pairs = [met.pairs]
    if met.crowded.any():
        pairs.append(_in_crowds(near, engine, sets, met))
    shipped = engine.shuffle(work.ship, sets, *(engine.hold(work.needed, each) for each in pairs))
    one, other = _fetched(engine, engine.shuffle(partial(work.similar, near), shipped, *pairs), 2)
    touched = distinct(np.concatenate([one, other]))
    groups = Groups(len(touched))
    groups.join(np.searchsorted(touched, one), np.searchsorted(touched, other))
    return touched, touched[groups.of]


def _in_crowds(near: Near, engine: api.SupportsShuffle, sets: Any, met: Met) -> Any:
    """Pairs of rows in crowds that share a rare element, held."""
    import numpy as np
    import pyarrow as pa

    sample = crowds.sampled(np.flatnonzero(met.crowded))
    found = [batch.column("set") for batch in engine.fetch(engine.hold(partial(work.only, sample), sets))]
    some = read_sets(pa.concat_arrays(found))
    common = crowds.common(some, np.arange(len(some.sizes)))
    rare = engine.hold(partial(work.by_element, near, common), sets)
    return engine.shuffle(partial(work.met_by_element, near, met.buckets), rare)


def _pieces(keys: pa.Array, without: NDArray[np.int64] | None = None) -> Iterator[pa.RecordBatch]:
    """Keys (as `own`) and their places, without those at some places (rising)."""
    import numpy as np

    for start in range(0, len(keys), PIECE):
        places = np.arange(start, min(start + PIECE, len(keys)))
        if without is not None:
            first, last = (int(np.searchsorted(without, edge)) for edge in (start, start + PIECE))
            places = np.delete(places, without[first:last] - start)
        yield work.batch_of(place=places, own=keys.take(rows.from_numpy(places)))


def _with_crowds(batches: Iterator[pa.RecordBatch], crowded: NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        flags = crowded[work.numbers(batch, rows.PLACE)]
        yield batch.append_column(work.CROWDED, rows.from_numpy(flags))


def _replaced(values: NDArray[np.int64], member: NDArray[np.int64], root: NDArray[np.int64]) -> NDArray[np.int64]:
    """Values that are members (which rise) by their roots, others as they are."""
    import numpy as np

    if not len(member):
        return values
    at = np.minimum(np.searchsorted(member, values), len(member) - 1)
    return np.where(member[at] == values, root[at], values)


def _fetched(engine: api.SupportsShuffle, held: Any, columns: int) -> list[NDArray[np.int64]]:
    """The columns of what is held, whole."""
    import numpy as np

    found = [[rows.as_numpy(column) for column in batch.columns] for batch in engine.fetch(held)]
    return [np.concatenate([np.zeros(0, np.int64), *(batch[at] for batch in found)]) for at in range(columns)]
