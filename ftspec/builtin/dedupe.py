"""Rows that are there more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftspec import api, rows
from ftspec.builtin.columns import Columns

if TYPE_CHECKING:
    import pyarrow as pa


@api.global_step
def dedupe(*, columns: Columns = []) -> api.GlobalStep:
    """Drop rows that are equal to an earlier one, in `columns` or as a whole. A row that has none of them is kept."""
    return api.GlobalStep(
        keys=lambda batch: rows.fingerprints(batch, columns), reduce=_all_but_first, reason="duplicate"
    )


def _all_but_first(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
    """Keys get codes in order of appearance, so a code is new exactly where the running maximum rises."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = pc.is_valid(keys)
    numbers = numbers.filter(given)
    codes = keys.filter(given).dictionary_encode().indices
    if len(codes) == 0:
        return api.Dropped(numbers, numbers)
    highest = pc.cumulative_max(codes)
    risen = pc.not_equal(highest.slice(1), highest.slice(0, len(highest) - 1))
    first = numbers.filter(pa.concat_arrays([rows.booleans([True]), risen]))
    because = first.take(codes)
    again = pc.not_equal(because, numbers)
    return api.Dropped(numbers.filter(again), because.filter(again))


COMPONENTS: dict[str, api.Component] = {"dedupe": dedupe}
