"""Checks of what is nearly the same: across the sides of the data, and among the rows to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.dedupe import CODE, Keys, Shingle, Threshold, keys_of, sets_of
from ftspec.builtin.near import join, minhash, texts, words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

HELD_OUT = {"validation": ("train",), "test": ("train", "validation"), "prompt": ("train", "validation")}
ASKED = ("user", "tool")
COMPARED = 256
"""Rows of a group that one row is compared with; groups are rarely larger."""
SHOWN = 20
CHECK_CODE = ["ftspec.builtin.dedupe", *CODE]


class Measured(NamedTuple):
    """Of each row of a batch: its MinHash key, its set of shingles, its number and its side."""

    keys: pa.Array
    sets: pa.Array
    numbers: pa.Array
    sides: pa.Array


class Found(NamedTuple):
    """Candidates: their sets, in groups, and the numbers and sides of the rows; `total` counts all rows."""

    sets: words.Hashes
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
    return api.Check(partial(_measure, threshold, shingle, ASKED), partial(_judged, threshold, _leaks))


@api.check(code=CHECK_CODE)
def near_duplicates(
    *,
    max_rate: Annotated[float, Meta(ge=0, lt=1, description="Share of rows that may be near-duplicates.")] = 0.0,
    threshold: Threshold = 0.7,
    shingle: Shingle = 5,
) -> api.Check:
    """Want few rows to train on that are nearly the same as an earlier one, as the step `near_dedupe` compares them."""
    return api.Check(
        partial(_measure, threshold, shingle, ()), partial(_judged, threshold, partial(_rate, max_rate=max_rate))
    )


def _measure(threshold: float, size: int, roles: tuple[str, ...], batch: pa.RecordBatch) -> Measured:
    import pyarrow.compute as pc

    if not roles:
        batch = batch.filter(pc.equal(batch.column(rows.SIDE), rows.scalar("train")))
    names = ["messages"] if roles else []
    cut = minhash.bands(threshold)
    keys = keys_of(texts.of_batch(batch, names, roles), batch.num_rows, size, cut)
    sets = sets_of(texts.of_batch(batch, names, roles), batch.num_rows, size)
    return Measured(keys, sets, batch.column(rows.ROW), batch.column(rows.SIDE))


Tell = Callable[[Found, float], Iterator[api.Finding]]


def _judged(threshold: float, tell: Tell, measured: Sequence[Measured]) -> Iterator[api.Finding]:
    """Keys of all rows are held, sets of candidates only: the measures are gone through twice."""
    import numpy as np
    import pyarrow as pa

    if not len(measured):
        return
    keys = Keys.read(pa.concat_arrays([each.keys for each in measured]))
    firsts = keys.firsts()
    apart = keys.candidates(firsts)
    repeated = np.flatnonzero(firsts != np.arange(len(firsts)))
    places = np.unique(np.concatenate([apart, repeated, firsts[repeated]]))
    parts: list[Measured] = []
    start = 0
    for each in measured:
        end = start + len(each.keys)
        inside = places[np.searchsorted(places, start) : np.searchsorted(places, end)] - start
        chosen = pa.Array.from_buffers(pa.int64(), len(inside), [None, pa.py_buffer(inside.tobytes())])
        parts.append(Measured(*(column.take(chosen) for column in each)))
        start = end
    sets, numbers, sides = (pa.concat_arrays(list(column)) for column in list(zip(*parts, strict=True))[1:])
    values = words.Hashes(rows.as_numpy(sets.values), rows.as_numpy(sets.offsets).astype(np.int64))
    groups = join.Groups(len(places))
    join.similar(values, threshold, groups)
    yield from tell(Found(values, groups.of, rows.as_numpy(numbers), sides.to_pylist(), len(firsts)), threshold)


def _leaks(found: Found, threshold: float) -> Iterator[api.Finding]:
    members: dict[int, list[int]] = {}
    for at, group in enumerate(found.groups.tolist()):
        members.setdefault(group, []).append(at)
    for group in members.values():
        for at in group if len({found.sides[each] for each in group}) > 1 else ():
            others = HELD_OUT.get(found.sides[at], ())
            against = [each for each in group if found.sides[each] in others][:COMPARED]
            if against:
                yield from _leak(found, at, against, threshold)


def _leak(found: Found, at: int, against: list[int], threshold: float) -> Iterator[api.Finding]:
    """The row's most similar one on a side that it must not be near to."""
    import numpy as np

    alike = join.jaccard(found.sets, np.full(len(against), at), np.array(against))
    best = int(np.argmax(alike))
    if alike[best] < threshold:
        return
    side = found.sides[at]
    place = "an evaluation prompt" if side == "prompt" else f"in {side}"
    other = against[best]
    yield api.Finding(
        message=f"asks nearly what {rows.mention(int(found.numbers[other]))} asks ({alike[best]:.0%} the same): "
        f"that row is in {found.sides[other]}, this one is {place}",
        hint="use `near_dedupe` or `decontaminate`, or split `by` a column that such rows share",
        row=int(found.numbers[at]),
    )


def _rate(found: Found, threshold: float, max_rate: float) -> Iterator[api.Finding]:
    """One finding with the rate, and one per near-duplicate for the first of them."""
    import numpy as np

    again = np.flatnonzero(found.groups != np.arange(len(found.groups)))
    if not len(again) or len(again) / found.total <= max_rate:
        return
    message = f"{len(again):,} of {found.total:,} rows to train on are near-duplicates ({len(again) / found.total:.1%})"
    yield api.Finding(message=f"{message}, at most {max_rate:.1%} may be", hint="use `near_dedupe` in `cleaning`")
    for at in again[:SHOWN].tolist():
        first = rows.mention(int(found.numbers[found.groups[at]]))
        message = f"is a near-duplicate of {first}, or of one of its"
        yield api.Finding(message=message, hint="drop one of them", row=int(found.numbers[at]))


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (near_leakage, near_duplicates)}
