"""Rows that are there more than once: the same, or nearly the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin import near
from ftspec.builtin.columns import Columns
from ftspec.builtin.near import join, minhash, spread
from ftspec.builtin.near.groups import Groups
from ftspec.builtin.near.keys import Keys, keys_of, lists_of, shingles_of
from ftspec.builtin.near.sets import read_sets
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
    closer = api.Closer(wanted=step.wanted, details=step.details, reduce=step.reduce, spread=step.spread)
    return api.GlobalStep(keys=step.keys, closer=closer, scope="all", reason="near-duplicate")


class Near(NamedTuple):
    """The parts of near-duplicate detection: a key per row, rows worth a closer look, their sets, what is dropped."""

    threshold: float
    shingle: int
    columns: tuple[str, ...] = ()

    @property
    def bands(self) -> minhash.Bands:
        return minhash.bands(self.threshold)

    def keys(self, batch: pa.RecordBatch) -> pa.Array:
        return keys_of(shingles_of(batch, self.columns, size=self.shingle), batch.num_rows, self.bands)

    def wanted(self, keys: pa.Array, numbers: pa.Array) -> pa.Array:
        """Of rows that share a band, the first one of each set."""
        found = Keys.read(keys)
        return numbers.take(rows.from_numpy(found.candidates()))

    def details(self, batch: pa.RecordBatch) -> pa.Array:
        return lists_of(shingles_of(batch, self.columns, size=self.shingle), batch.num_rows)

    def reduce(self, keys: pa.Array, numbers: pa.Array, looked: pa.Array, details: pa.Array) -> api.Dropped:
        """All but the first of each group."""
        import numpy as np

        found = Keys.read(keys)
        firsts = found.firsts()
        places = _places(numbers, looked)
        groups = Groups(len(places))
        join.join(read_sets(details), found.bands[places], self.threshold, groups)
        keeper = np.arange(len(keys))
        keeper[places] = places[groups.of]
        because = keeper[firsts]
        dropped = np.flatnonzero(because != np.arange(len(keys)))
        return api.Dropped(numbers.take(rows.from_numpy(dropped)), numbers.take(rows.from_numpy(because[dropped])))

    def spread(self, engine: api.SupportsShuffle, keys: pa.Array, numbers: pa.Array, again: api.Again) -> api.Dropped:
        """The same on an engine that shuffles."""
        return spread.dropped(self, engine, keys, numbers, again)


def _places(numbers: pa.Array, looked: pa.Array) -> NDArray[np.int64]:
    """Where in `numbers`, which most likely rise, those that were looked at stand in the same order."""
    import numpy as np
    import pyarrow.compute as pc

    places = np.asarray(np.searchsorted(rows.as_numpy(numbers), rows.as_numpy(looked)))
    if places.max(initial=-1) < len(numbers) and numbers.take(rows.from_numpy(places)).equals(looked):
        return places
    return rows.as_numpy(pc.index_in(looked, value_set=numbers)).astype(np.int64)


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (dedupe, near_dedupe)}
