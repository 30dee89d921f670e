"""Cleaning steps in which chance decides: a hash of the seed and the row, so that it decides the same every time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

Fraction = Annotated[float, Meta(gt=0, le=1)]


def sample_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Either a share or a number."""
    if (options["fraction"] is None) == (options["count"] is None):
        yield (), "say either `fraction` or `count`"


@api.global_step(rules=[sample_rule])
def sample(
    *, fraction: Fraction | None = None, count: Annotated[int, Meta(ge=1)] | None = None, seed: int = 0
) -> api.GlobalStep:
    """Keep a random share or number of rows, in their order.

    Chance is a hash of `seed` and the row's content: the same rows are kept wherever they stand, and with `fraction`
    whatever other rows there are.
    """

    def keys(batch: pa.RecordBatch) -> pa.Array:
        import pyarrow.compute as pc

        return pc.coalesce(rows.fingerprints(batch, salt=f"sample {seed}"), rows.binaries([bytes(16)])[0])

    def reduce(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
        dropped = _above(keys, numbers, fraction) if fraction is not None else _after(keys, numbers, count or 0)
        return api.Dropped(dropped, dropped)

    return api.GlobalStep(keys, reduce, scope="all", reason="not sampled")


def _above(keys: pa.Array, numbers: pa.Array, fraction: float) -> pa.Array:
    """Rows whose hash, as a number between 0 and 1, is not below the fraction."""
    import pyarrow.compute as pc

    if fraction >= 1:
        return numbers.slice(0, 0)
    bound = rows.binaries([int(fraction * 2**64).to_bytes(8, "big") + bytes(8)])[0]
    return numbers.filter(pc.greater_equal(keys, bound))


def _after(keys: pa.Array, numbers: pa.Array, count: int) -> pa.Array:
    """All rows but the `count` with the smallest hashes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.RecordBatch.from_arrays([keys, numbers], names=["key", "row"])
    order = pc.sort_indices(table, sort_keys=[("key", "ascending"), ("row", "ascending")])
    dropped = numbers.take(order.slice(count))
    return dropped.take(pc.sort_indices(dropped))


COMPONENTS: dict[str, api.Component] = {"sample": sample}
