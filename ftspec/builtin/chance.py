"""Cleaning steps in which chance decides: a hash of the seed and the row, so that it decides the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

END = 2**31 - 1
"""Without an end, Arrow's binary_slice miscounts the bytes of its result and raises."""

SHOWN = 10
"""Values of a column that a hint tells."""

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


@api.global_step
def shuffle(*, seed: int = 0) -> api.GlobalStep:
    """Put rows in a random order: that of a hash of `seed` and the row's content. Equal rows stay next to each other.

    The order depends on the rows alone, not on where they stood: rows from several files are mixed evenly.
    """
    return api.GlobalStep(keys=lambda batch: rows.fingerprints(batch, salt=f"shuffle {seed}"), sort=True)


Side = Literal["train", "validation", "test"]


def balance_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """One way to say how many, and not the same side twice."""
    said = [name for name in ("counts", "shares", "most") if options[name]]
    if len(said) > 1:
        yield (said[1],), f"say either {' or '.join(said)}: both say how many rows stay"
    for value, share in options["shares"].items():
        if share == 0:
            yield ("shares", value), "a share is above 0: drop the rows with `filter`"


@api.global_step(rules=[balance_rule])
def balance(
    *,
    column: api.Column,
    counts: Annotated[
        dict[str, Annotated[int, Meta(ge=0)]], Meta(description="At most so many rows of each of these values.")
    ] = {},
    shares: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        Meta(description="The values' shares of each other, e.g. {yes: 1, no: 2}: as many rows as allow for that."),
    ] = {},
    most: Annotated[int, Meta(ge=1, description="At most so many rows of every value.")] | None = None,
    sides: Annotated[list[Side], Meta(min_length=1, description="Sides of the split that are balanced.")] = ["train"],
    seed: int = 0,
) -> api.GlobalStep:
    """Drop rows of frequent values, so that the values of a column are balanced; a value is compared as text.

    Without further options every value keeps as many rows as the rarest has. Which ones is chance: those with the
    smallest hash of `seed` and the row's content stay, in their order. Each side of the split is balanced by itself,
    and only the training side unless `sides` says otherwise: a test that was balanced would no longer be like the
    world. Rows that have no value stay, and so do those of values that `counts` or `shares` do not name. A value that
    they name and no row has is a warning.
    """

    def keys(batch: pa.RecordBatch) -> pa.Array:
        """16 bytes of chance, then the side and the value that make a group; null for rows that stay."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = rows.as_text(rows.column(batch, column))
        side = batch.column(rows.SIDE)
        texts = pc.if_else(pc.is_in(side, value_set=rows.strings(list(sides))), texts, rows.repeated(None, len(texts)))
        groups = pc.binary_join_element_wise(side, texts, rows.scalar(" ")).cast(pa.binary())
        chance = pc.coalesce(rows.fingerprints(batch, salt=f"balance {seed}"), rows.binaries([bytes(16)])[0])
        return pc.binary_join_element_wise(chance, groups, rows.binaries([b""])[0])

    def reduce(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
        dropped, sizes = _surplus(keys, numbers, lambda sizes: _wanted(sizes, counts, shares, most))
        return api.Dropped(dropped, dropped, _unknown(column, sizes, {"counts": counts, "shares": shares}))

    return api.GlobalStep(keys, reduce, scope="all", reason=f"surplus of its {column}")


def _unknown(column: str, sizes: Mapping[str, int], named: Mapping[str, Iterable[str]]) -> list[api.Finding]:
    """A warning for each value that the options name and no row has: perhaps another spelling of one that is there."""
    here = Counter[str]()
    for name, size in sizes.items():
        here[name.partition(" ")[2]] += size
    there = [f"'{value}'" for value, _ in here.most_common(SHOWN)] + (["…"] if len(here) > SHOWN else [])
    return [
        api.SpecFinding(
            message=f"no row that is balanced has the value '{value}' in column '{column}'",
            hint=f"there are {', '.join(there)}" if there else "",
            severity="warning",
            path=(option, value),
        )
        for option, values in named.items()
        for value in values
        if value not in here
    ]


def _surplus(
    keys: pa.Array, numbers: pa.Array, wanted: Callable[[dict[str, int]], dict[str, int]]
) -> tuple[pa.Array, dict[str, int]]:
    """The rows of each group beyond as many as are wanted of it, and how many each group has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = keys.is_valid()
    keys, numbers = keys.filter(given), numbers.filter(given)
    if len(keys) == 0:
        return numbers, {}
    groups = pc.binary_slice(keys, 16, END).dictionary_encode()
    names = [bytes(name).decode() for name in groups.dictionary.to_pylist()]
    sizes = dict.fromkeys(names, 0)
    for counted in groups.indices.value_counts().to_pylist():
        sizes[names[counted["values"]]] = counted["counts"]
    bound = wanted(sizes)
    table = pa.RecordBatch.from_arrays([groups.indices, keys, numbers], names=["group", "key", "row"])
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ("group", "key", "row")])
    dropped, start = [], 0
    for name in names:
        dropped.append(numbers.take(order.slice(start + bound[name], sizes[name] - bound[name])))
        start += sizes[name]
    made = pa.concat_arrays(dropped)
    return made.take(pc.sort_indices(made)), sizes


def _wanted(
    sizes: Mapping[str, int], counts: Mapping[str, int], shares: Mapping[str, float], most: int | None
) -> dict[str, int]:
    """How many rows of each group stay. A group's name is its side, a space, and its value."""
    bound = dict(sizes)
    for side in {name.partition(" ")[0] for name in sizes}:
        here = {name: name.partition(" ")[2] for name in sizes if name.startswith(f"{side} ")}
        if counts or most:
            wanted = {name: counts.get(value, sizes[name]) if counts else most or 0 for name, value in here.items()}
        elif shares:
            unit = min((sizes[name] / shares[value] for name, value in here.items() if value in shares), default=0.0)
            wanted = {name: round(shares[v] * unit) if v in shares else sizes[name] for name, v in here.items()}
        else:
            wanted = dict.fromkeys(here, min(sizes[name] for name in here))
        bound |= {name: min(sizes[name], number) for name, number in wanted.items()}
    return bound


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (sample, shuffle, balance)}
