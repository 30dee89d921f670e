"""Rows by their numbers and by where they stand: which are wanted, and where those are."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from ftspec.layout.arrays import as_numpy, from_numpy, scalar

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def among(numbers: pa.Array, wanted: pa.Array) -> pa.Array:
    """Whether each is a wanted one. Rows are numbered from 0, so a mark for each takes little, and a table of hashes
    long."""
    import numpy as np
    import pyarrow.compute as pc

    last = max(pc.max(numbers).as_py() or 0, pc.max(wanted).as_py() or 0)
    marks: NDArray[np.bool_] = np.zeros(last + 1, np.bool_)
    marks[as_numpy(wanted)] = True
    return from_numpy(marks[as_numpy(numbers)])


def standing(numbers: pa.Array, wanted: pa.Array) -> pa.Array:
    """Where in `numbers` the wanted ones stand, rising."""
    import pyarrow.compute as pc

    return pc.indices_nonzero(among(numbers, wanted)).cast(numbers.type)


def inside(rising: pa.Array, start: int, end: int) -> pa.Array:
    """Those of the rising positions that are at least `start` and below `end`, counted from `start`."""
    import pyarrow.compute as pc

    first, last = (bisect_left(rising, bound, key=lambda position: position.as_py()) for bound in (start, end))
    return pc.subtract(rising.slice(first, last - first), scalar(start))


def in_order_of(some: pa.Array, order: pa.Array) -> pa.Array:
    """The places of `some` in the order in which they stand in `order`."""
    import pyarrow.compute as pc

    return pc.sort_indices(pc.index_in(some, value_set=order))
