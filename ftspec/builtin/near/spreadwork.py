"""What workers do of near-duplicates on an engine that shuffles: see spread.py, which says in what order.

Functions get and return batches; those that get a list get a part, all rows of some keys (api.SupportsShuffle).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.builtin.near import crowds, join
from ftspec.builtin.near.duplicates import Near
from ftspec.builtin.near.groups import Groups, sizes_allow
from ftspec.builtin.near.keys import Keys
from ftspec.builtin.near.sets import read_sets
from ftspec.compiled.hashes import distinct

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

CROWDED = "_crowded"


def by_total(near: Near, piece: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with words by the total of their set."""
    import numpy as np

    found = Keys.read(piece.column("own"))
    given = np.flatnonzero(found.given)
    return batch_of(key=found.totals(given), place=numbers(piece, "place")[given])


def repeated(part: list[pa.RecordBatch]) -> pa.RecordBatch:
    import numpy as np

    totals, place = numbers(part[0], "key"), numbers(part[0], "place")
    order = np.lexsort((place, totals))
    totals, place = totals[order], place[order]
    again = np.concatenate([[False], totals[1:] == totals[:-1]])[: len(totals)]
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))
    return batch_of(place=place[again], first=place[first[again]])


def by_band(near: Near, piece: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with words by each of their bands: its number, and what it is."""
    import numpy as np

    found = Keys.read(piece.column("own"))
    given = np.flatnonzero(found.given)
    bands = found.bands[given].astype(np.uint64)
    bands |= np.arange(bands.shape[1], dtype=np.uint64) << np.uint64(32)
    place: NDArray[np.int64] = np.repeat(numbers(piece, "place")[given], bands.shape[1])
    return batch_of(key=bands.ravel(), place=place)


def met(buckets: int, part: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Pairs of rows that share a band with few others; a row in a crowd with itself."""
    import numpy as np

    keys, place = numbers(part[0], "key"), numbers(part[0], "place")
    order = np.argsort(place, kind="stable")
    place = place[order]
    shared = join.sharing(np.unique(keys[order], return_inverse=True)[1].astype(np.uint32))
    crowd = shared.places[shared.sizes > join.FEW]
    found = [(crowd, crowd), *join.of_few(shared)]
    one, other = (np.concatenate(each) for each in zip(*found, strict=True))
    return _pairs(place[one], place[other], buckets)


def met_places(pairs: pa.RecordBatch) -> pa.RecordBatch:
    """Each row that is paired, and whether it stands in a crowd."""
    import numpy as np

    one, other = numbers(pairs, "one"), numbers(pairs, "other")
    place = distinct(np.concatenate([one, other]))
    return batch_of(place=place, crowded=np.isin(place, one[one == other]))


def by_place(near: Near, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows' sets."""
    return batch_of(key=batch.column(rows.PLACE), set=near.details(batch), crowded=batch.column(CROWDED))


def only(places: NDArray[np.int64], sets: pa.RecordBatch) -> pa.RecordBatch:
    import numpy as np

    return sets.take(rows.from_numpy(np.flatnonzero(np.isin(numbers(sets, "key"), places))))


def by_element(near: Near, common: crowds.Common, sets: pa.RecordBatch) -> pa.RecordBatch:
    """Rows in crowds by each element of their sets' prefixes."""
    import numpy as np

    crowd = sets.filter(sets.column("crowded"))
    found = read_sets(crowd.column("set"))
    if not crowd.num_rows:
        return batch_of(key=np.zeros(0, np.uint32), place=np.zeros(0, np.int64), size=np.zeros(0, np.int64))
    lengths = crowds.prefix_lengths(found.sizes, near.threshold)
    elements, owner = crowds.prefixes(found, np.arange(crowd.num_rows), common, lengths, 0, 1)
    return batch_of(key=elements, place=numbers(crowd, "key")[owner], size=found.sizes[owner])


def met_by_element(near: Near, buckets: int, part: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Pairs of rows that share a rare element, as crowds.join has them: by size, and by place among equal ones."""
    import numpy as np

    place, size = numbers(part[0], "place"), numbers(part[0], "size")
    order = np.lexsort((place, size))
    place, size = place[order], size[order]
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for one, other in crowds.sharing(numbers(part[0], "key")[order], np.arange(len(order))):
        possible = sizes_allow(size[one], size[other], near.threshold)
        found.append((one[possible], other[possible]))
    one, other = (np.concatenate(each) for each in zip(*found, strict=True))
    return _pairs(place[one], place[other], buckets)


def needed(pairs: pa.RecordBatch) -> pa.RecordBatch:
    """For each bucket the rows whose sets are needed there."""
    import numpy as np

    pairs = _apart(pairs)
    bucket = np.tile(numbers(pairs, "key").astype(np.int64), 2)
    place = np.concatenate([numbers(pairs, "one"), numbers(pairs, "other")])
    return batch_of(key=place, bucket=bucket)


def ship(part: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Sets by the bucket where they are needed."""
    import numpy as np

    sets, *requests = part
    place = np.concatenate([numbers(each, "key") for each in requests])
    bucket = np.concatenate([numbers(each, "bucket") for each in requests])
    order = np.lexsort((place, bucket))
    place, bucket = place[order], bucket[order]
    new = np.concatenate([[True], (place[1:] != place[:-1]) | (bucket[1:] != bucket[:-1])])[: len(place)]
    place, bucket = place[new], bucket[new]
    return batch_of(
        key=bucket, place=place, set=sets.column("set").take(rows.from_numpy(_at(numbers(sets, "key"), place)))
    )


def similar(near: Near, part: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Of the rows of these buckets, those that have a near-duplicate, each with the first of its group."""
    import numpy as np

    shipped, *pairs = part
    pairs = [_apart(each) for each in pairs]
    place, firsts = np.unique(numbers(shipped, "place"), return_index=True)
    sets = read_sets(shipped.column("set").take(rows.from_numpy(firsts)))
    order = np.argsort(sets.sizes, kind="stable")
    ranks: NDArray[np.int64] = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    groups = Groups(len(place))
    found = crowds.Pairs(sets, order, near.threshold, groups)
    for each in pairs:
        one, other = (ranks[np.searchsorted(place, numbers(each, name))] for name in ("one", "other"))
        one, other = np.minimum(one, other), np.maximum(one, other)
        for start in range(0, len(one), crowds.PAIRS):
            found.join(one[start : start + crowds.PAIRS], other[start : start + crowds.PAIRS])
    gone = np.flatnonzero(groups.of != np.arange(len(place)))
    return batch_of(one=place[groups.of[gone]], other=place[gone])


def _pairs(one: NDArray[np.int64], other: NDArray[np.int64], buckets: int) -> pa.RecordBatch:
    """Each pair once, by its bucket: that of its first row, so that what belongs together is mostly in one."""
    import numpy as np

    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    new = np.concatenate([[True], (one[1:] != one[:-1]) | (other[1:] != other[:-1])])[: len(one)]
    one, other = one[new], other[new]
    return batch_of(key=one % buckets, one=one, other=other)


def _apart(pairs: pa.RecordBatch) -> pa.RecordBatch:
    """Without rows that are paired with themselves."""
    import pyarrow.compute as pc

    return pairs.filter(pc.not_equal(pairs.column("one"), pairs.column("other")))


def _at(values: NDArray[np.int64], sought: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in `values`, which differ, the sought ones stand."""
    import numpy as np

    order = np.argsort(values)
    return order[np.searchsorted(values, sought, sorter=order)]


def numbers(batch: pa.RecordBatch, name: str) -> Any:
    return rows.as_numpy(batch.column(name))


def batch_of(**columns: Any) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [column if isinstance(column, pa.Array) else rows.from_numpy(column) for column in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))
