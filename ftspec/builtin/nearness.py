"""Checks of what is nearly the same: across the sides of the data, and among the rows to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.bounds import percent
from ftspec.builtin.checks.leaks import HELD_OUT, said
from ftspec.builtin.dedupe import CODE, Shingle, Threshold
from ftspec.builtin.near import join, minhash
from ftspec.builtin.near.groups import Groups
from ftspec.builtin.near.keys import Keys, keys_of, lists_of, shingles_of
from ftspec.builtin.near.sets import Sets, jaccard, read_sets

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

ASKED = ("user", "tool")
COMPARED = 256
"""Sets that one is compared with at once; so many it always is, if its group has them."""
PAIRS = 1 << 21
"""Comparisons beyond those that a check makes: some 20 seconds. Groups of thousands of unlike questions need more."""
SHOWN = 20
CHECK_CODE = ["ftspec.builtin.bounds", "ftspec.builtin.dedupe", "ftspec.builtin.checks.leaks", *CODE]


class Measured(NamedTuple):
    """Of each row of a batch: its MinHash key, its set of shingles, its number and its side."""

    keys: pa.Array
    sets: pa.Array
    numbers: pa.Array
    sides: pa.Array


class Found(NamedTuple):
    """Candidates: rows that are equal to another or may be near it; `total` counts all rows.

    `kinds` says which of the distinct `sets` is a row's, `groups` which candidate is the first of its group.
    """

    sets: Sets
    kinds: NDArray[np.int64]
    groups: NDArray[np.int64]
    numbers: NDArray[np.int64]
    sides: list[str]
    total: int


@api.check(code=CHECK_CODE)
def near_leakage(*, threshold: Threshold = 0.8, shingle: Shingle = 5) -> api.Check:
    """Find rows of validation, test and evaluation whose question is nearly one that was trained on (or chosen by).

    Questions are what users and tools say, compared as the step `near_dedupe` does: by the Jaccard similarity of their
    shingles. Equal ones are found too; the check `leakage` finds those of any kind of message, for less.
    """
    return api.Check(
        partial(_measure, threshold, shingle, ASKED), partial(_judged, threshold, partial(_leaks, threshold))
    )


@api.check(code=CHECK_CODE)
def near_duplicates(
    *,
    max_rate: Annotated[float, Meta(ge=0, lt=1, description="Share of rows that may be near-duplicates.")] = 0.0,
    threshold: Threshold = 0.7,
    shingle: Shingle = 5,
) -> api.Check:
    """Want few rows to train on that are nearly the same as an earlier one, as the step `near_dedupe` compares them."""
    return api.Check(partial(_measure, threshold, shingle, ()), partial(_judged, threshold, partial(_rate, max_rate)))


def _measure(threshold: float, size: int, roles: tuple[str, ...], batch: pa.RecordBatch) -> Measured:
    import pyarrow.compute as pc

    if not roles:
        batch = batch.filter(pc.equal(batch.column(rows.SIDE), rows.scalar("train")))
    names = ["messages"] if roles else []
    parts = list(shingles_of(batch, names, roles, size=size))
    keys = keys_of(parts, batch.num_rows, minhash.bands(threshold))
    lists = lists_of(parts, batch.num_rows)
    return Measured(keys, lists, batch.column(rows.ROW), batch.column(rows.SIDE))


Tell = Callable[[Found], Iterator[api.Finding]]


def _judged(threshold: float, tell: Tell, measured: Sequence[Measured]) -> Iterator[api.Finding]:
    """Keys of all rows are held, and each different set of candidates once: the measures are gone through twice."""
    import numpy as np
    import pyarrow as pa

    if not len(measured):
        return
    keys = Keys.read(pa.concat_arrays([each.keys for each in measured]))
    firsts = keys.firsts()
    apart = keys.candidates(firsts)
    repeated = np.flatnonzero(firsts != np.arange(len(firsts)))
    distinct = np.unique(np.concatenate([apart, firsts[repeated]]))
    places = np.unique(np.concatenate([distinct, repeated]))
    sets: list[pa.Array] = []
    parts: list[tuple[pa.Array, pa.Array]] = []
    start = 0
    for each in measured:
        end = start + len(each.keys)
        sets.append(each.sets.take(_inside(distinct, start, end)))
        chosen = _inside(places, start, end)
        parts.append((each.numbers.take(chosen), each.sides.take(chosen)))
        start = end
    flat = pa.concat_arrays(sets)
    values = read_sets(flat)
    groups = Groups(len(distinct))
    join.join(values, keys.bands[distinct], threshold, groups)
    kinds = np.searchsorted(distinct, firsts[places])
    first = np.searchsorted(places, distinct[groups.of[kinds]])
    numbers, sides = (pa.concat_arrays(list(column)) for column in zip(*parts, strict=True))
    found = Found(values, kinds, first, rows.as_numpy(numbers), sides.to_pylist(), len(firsts))
    yield from tell(found)


def _inside(places: NDArray[np.int64], start: int, end: int) -> pa.Array:
    """Those of the rising places from start to end, counted from start."""
    import numpy as np

    here = places[np.searchsorted(places, start) : np.searchsorted(places, end)] - start
    return rows.from_numpy(here)


def _leaks(threshold: float, found: Found) -> Iterator[api.Finding]:
    members: dict[int, list[int]] = {}
    for at, group in enumerate(found.groups.tolist()):
        members.setdefault(group, []).append(at)
    budget = Budget(PAIRS)
    for group in members.values():
        if len({found.sides[each] for each in group}) > 1:
            yield from _leaks_of(group, found, threshold, budget)
    if budget.cut:
        yield api.Finding(
            message=f"too many questions are alike to compare each with all: not done for {budget.cut:,}",
            hint="use `near_dedupe` in `cleaning`, or a higher `threshold`",
            severity="warning",
        )


class Budget:
    """How many comparisons are left, and how many questions have been compared with a part of their group only."""

    def __init__(self, left: int) -> None:
        self.left, self.cut = left, 0


def _leaks_of(group: list[int], found: Found, threshold: float, budget: Budget) -> Iterator[api.Finding]:
    """Each row of a group that is too near to one on another side; rows that ask the same are compared once."""
    against: dict[str, dict[int, int]] = {}
    nearest: dict[tuple[str, int], tuple[int, float] | None] = {}
    for at in group:
        side, kind = found.sides[at], int(found.kinds[at])
        if side not in HELD_OUT:
            continue
        if side not in against:
            others = [each for each in group if found.sides[each] in HELD_OUT[side]]
            against[side] = {int(found.kinds[each]): each for each in reversed(others)}
        if (side, kind) not in nearest:
            nearest[side, kind] = _nearest(kind, against[side], found.sets, threshold, budget)
        best = nearest[side, kind]
        if best:
            yield _leak(found, at, *best)


def _nearest(
    kind: int, against: dict[int, int], sets: Sets, threshold: float, budget: Budget
) -> tuple[int, float] | None:
    """(row, similarity) of the most similar of the sets in `against`, by the row that has each; None if none is similar
    enough. Those next in size come first, and it ends with the first COMPARED among which there is one."""
    import numpy as np

    if kind in against:
        return against[kind], 1.0
    kinds, places = np.array([*against]).astype(np.int64), np.array([*against.values()]).astype(np.int64)
    sizes = np.diff(sets.offsets)
    own, size = sizes[kind], sizes[kinds]
    possible = np.flatnonzero(np.minimum(own, size) >= threshold * np.maximum(own, size) - 1e-9)
    possible = possible[np.lexsort((places[possible], np.abs(size[possible] - own)))]
    for start in range(0, len(possible), COMPARED):
        chosen = possible[start : start + COMPARED]
        if start and budget.left < len(chosen):
            budget.cut += 1
            return None
        budget.left -= len(chosen) if start else 0
        chosen = chosen[np.argsort(places[chosen])]
        alike = jaccard(sets, np.full(len(chosen), kind), kinds[chosen])
        best = int(np.argmax(alike))
        if alike[best] >= threshold:
            return int(places[chosen[best]]), float(alike[best])
    return None


def _leak(found: Found, at: int, other: int, alike: float) -> api.Finding:
    what = f"asks nearly what {rows.mention(int(found.numbers[other]))} asks ({alike:.0%} the same)"
    return api.Finding(
        message=said(found.sides[at], what, found.sides[other]),
        hint="use `near_dedupe` or `decontaminate`, or split `by` a column that such rows share",
        row=int(found.numbers[at]),
    )


def _rate(max_rate: float, found: Found) -> Iterator[api.Finding]:
    """One finding with the rate, and one per near-duplicate for the first of them."""
    import numpy as np

    again = np.flatnonzero(found.groups != np.arange(len(found.groups)))
    if not len(again) or len(again) / found.total <= max_rate:
        return
    rate = len(again) / found.total
    of = f"{len(again):,} of {found.total:,} rows to train on are near-duplicates ({percent(rate, max_rate)})"
    message = f"{of}, at most {percent(max_rate, rate)} may be"
    yield api.Finding(message=message, hint="use `near_dedupe` in `cleaning`")
    for at in again[:SHOWN].tolist():
        first = rows.mention(int(found.numbers[found.groups[at]]))
        message = f"is a near-duplicate of {first}, or of one of its"
        yield api.Finding(message=message, hint="drop one of them", row=int(found.numbers[at]))


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (near_leakage, near_duplicates)}
