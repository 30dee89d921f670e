"""Rows that are there more than once: the same, or nearly the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin import near
from ftspec.builtin.columns import Columns
from ftspec.builtin.near import spread
from ftspec.builtin.near.duplicates import Near
from ftspec.builtin.recurring import recurring

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Threshold = Annotated[float, Meta(ge=0.01, le=1)]
"""Below, a key would have more bands than a row has words, and the chances that make them are no numbers any more."""
Shingle = Annotated[int, Meta(ge=1, le=100, description="Words (characters in scripts without spaces) per shingle.")]
CODE = ["ftspec.builtin.columns", "ftspec.builtin.recurring", *near.CODE]


@api.global_step(code=CODE)
def dedupe(*, columns: Columns = []) -> api.GlobalStep:
    """Drop rows that are equal to an earlier one, in `columns` or as a whole. A row that has none of them is kept."""
    return api.GlobalStep(lambda batch: rows.equal_keys(batch, columns), _all_but_first, reason="duplicate")


def _all_but_first(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
    """Keys get codes in order of appearance, so a code is new exactly where the running maximum rises. Those whose
    beginning nobody shares are new anyway."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if keys.null_count:
        given = pc.is_valid(keys)
        keys, numbers = keys.filter(given), numbers.filter(given)
    again = rows.from_numpy(recurring(_beginnings(keys)))
    numbers = numbers.take(again)
    codes = keys.take(again).dictionary_encode().indices
    if len(codes) == 0:
        return api.Dropped(numbers, numbers)
    highest = pc.cumulative_max(codes)
    risen = pc.not_equal(highest.slice(1), highest.slice(0, len(highest) - 1))
    first = numbers.filter(pa.concat_arrays([rows.booleans([True]), risen]))
    because = first.take(codes)
    again = pc.not_equal(because, numbers)
    return api.Dropped(numbers.filter(again), because.filter(again))


def _beginnings(keys: pa.Array) -> NDArray[np.uint64]:
    """The first eight bytes of each key."""
    import numpy as np

    words = np.frombuffer(keys.buffers()[1], np.uint64).reshape(-1, rows.KEY_BYTES // 8)
    return np.ascontiguousarray(words[keys.offset : keys.offset + len(keys), 0])


@api.global_step(code=CODE)
def near_dedupe(*, threshold: Threshold = 0.7, shingle: Shingle = 5, columns: Columns = []) -> api.GlobalStep:
    """Drop rows that are nearly the same as an earlier one: all but the first of each group.

    Two rows are near-duplicates when the sets of their shingles (every `shingle` words in a row, without regard to case
    and punctuation; characters where a script has no spaces) have a Jaccard similarity of at least `threshold`: they
    share so much of what either says. Candidates come from MinHash bands and each is compared exactly, so a row that
    shares less with every other is never dropped. A group holds near-duplicates of near-duplicates too. A text of fewer
    words than `shingle` must be the same in full. Without `columns`, what messages say and call counts (chosen and
    rejected answers apart), or every text column of rows without messages. Rows without a word are kept.
    """
    step = Near(threshold, shingle, tuple(columns))
    closer = api.Closer(
        wanted=step.wanted, details=step.details, reduce=step.reduce, spread=partial(spread.dropped, step)
    )
    return api.GlobalStep(keys=step.keys, closer=closer, scope="all", reason="near-duplicate")


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (dedupe, near_dedupe)}
