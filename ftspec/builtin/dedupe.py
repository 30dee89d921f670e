"""Rows that are there more than once: the same, or nearly the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.columns import Columns
from ftspec.builtin.near import hashes, join, minhash, spread, texts, words
from ftspec.builtin.near.groups import Groups
from ftspec.builtin.near.sets import BITS, Sets
from ftspec.builtin.recurring import recurring

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Threshold = Annotated[float, Meta(gt=0, le=1)]
Shingle = Annotated[int, Meta(ge=1, le=100, description="Words (characters in scripts without spaces) per shingle.")]
NEAR = (
    "characters", "crowds", "groups", "hashes", "join", "kernels", "minhash", "native", "objects", "sets", "spread",
    "spreadwork", "texts", "words",
)  # fmt: skip
CODE = ["ftspec.builtin.columns", "ftspec.builtin.recurring", *(f"ftspec.builtin.near.{name}" for name in NEAR)]
TOTAL_BYTES = 8


@api.global_step(code=CODE)
def dedupe(*, columns: Columns = []) -> api.GlobalStep:
    """Drop rows that are equal to an earlier one, in `columns` or as a whole. A row that has none of them is kept."""
    return api.GlobalStep(
        keys=lambda batch: rows.fingerprints(batch, columns), reduce=_all_but_first, reason="duplicate"
    )


def _all_but_first(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
    """Keys get codes in order of appearance, so a code is new exactly where the running maximum rises. Those whose
    beginning nobody shares are new anyway."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if keys.null_count:
        given = pc.is_valid(keys)
        keys, numbers = keys.filter(given), numbers.filter(given)
    again = _integers(recurring(_beginnings(keys)))
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
    """The first eight bytes of each key: of binaries of `rows.KEY_BYTES` bytes, none of them null."""
    import numpy as np

    width = np.dtype(np.int64 if keys.type == "large_binary" else np.int32)
    first = np.frombuffer(keys.buffers()[1], width)[keys.offset] if len(keys) else 0
    data = np.frombuffer(keys.buffers()[2] or b"", np.uint8)[first : first + len(keys) * rows.KEY_BYTES]
    made: NDArray[np.uint64] = np.ascontiguousarray(data.reshape(-1, rows.KEY_BYTES)[:, :8]).view(np.uint64).ravel()
    return made


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
    near = Near(threshold, shingle, tuple(columns))
    closer = api.Closer(wanted=near.wanted, details=near.details, reduce=near.reduce, spread=near.spread)
    return api.GlobalStep(keys=near.keys, closer=closer, scope="all", reason="near-duplicate")


class Near(NamedTuple):
    """The parts of near-duplicate detection: a key per row, rows worth a closer look, their sets, what is dropped.

    A key is what is known of the row's set in few bytes: its total (8 bytes), then 4 bytes for each band.
    """

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
        return numbers.take(_integers(found.candidates()))

    def details(self, batch: pa.RecordBatch) -> pa.Array:
        return sets_of(shingles_of(batch, self.columns, size=self.shingle), batch.num_rows)

    def reduce(self, keys: pa.Array, numbers: pa.Array, looked: pa.Array, details: pa.Array) -> api.Dropped:
        """All but the first of each group."""
        import numpy as np

        found = Keys.read(keys)
        firsts = found.firsts()
        places = found.candidates(firsts)
        if len(looked) != len(places) or not numbers.take(_integers(places)).equals(looked):
            raise ValueError("the rows looked at are not the ones that were wanted")
        groups = Groups(len(places))
        join.join(as_sets(details), found.bands[places], self.threshold, groups)
        keeper = np.arange(len(keys))
        keeper[places] = places[groups.of]
        because = keeper[firsts]
        dropped = np.flatnonzero(because != np.arange(len(keys)))
        return api.Dropped(numbers.take(_integers(dropped)), numbers.take(_integers(because[dropped])))

    def spread(
        self, engine: api.SupportsShuffle, keys: pa.Array, numbers: pa.Array, again: spread.Again
    ) -> api.Dropped:
        """The same on an engine that shuffles."""
        return spread.dropped(self, engine, keys, numbers, again)

    def read(self, keys: pa.Array) -> Keys:
        return Keys.read(keys)


class Keys(NamedTuple):
    """All rows' keys as numbers: a total and bands per row, in their order; `given` where a row has words."""

    given: NDArray[np.bool_]
    table: NDArray[np.uint32]

    @classmethod
    def read(cls, keys: pa.Array) -> Keys:
        import numpy as np

        width = keys.type.byte_width
        start = keys.offset * width
        data = np.frombuffer(keys.buffers()[1], np.uint8)[start : start + len(keys) * width]
        table = data.view(np.uint32).reshape(len(keys), width // 4)
        return cls(rows.as_numpy(keys.is_valid()), table)

    @property
    def bands(self) -> NDArray[np.uint32]:
        return self.table[:, TOTAL_BYTES // 4 :]

    def firsts(self) -> NDArray[np.int64]:
        """For each row, the first one with the same set (itself where it has no words)."""
        import numpy as np

        places = np.flatnonzero(self.given)
        places = places[recurring(self.totals(places))]
        totals = self.totals(places)
        order = np.argsort(totals, kind="stable")
        risen = np.concatenate([[True], totals[order[1:]] != totals[order[:-1]]])
        first = np.maximum.accumulate(np.where(risen, np.arange(len(order)), 0))
        made = np.arange(len(self.given))
        made[places[order]] = places[order[first]] if len(order) else made[:0]
        return made

    def totals(self, places: NDArray[np.int64]) -> NDArray[np.uint64]:
        import numpy as np

        return np.ascontiguousarray(self.table[places, : TOTAL_BYTES // 4]).view(np.uint64).ravel()

    def candidates(self, firsts: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The first rows of their set that share a band with another such row, in order. One band at a time."""
        import numpy as np

        firsts = self.firsts() if firsts is None else firsts
        alone = np.flatnonzero((firsts == np.arange(len(firsts))) & self.given)
        found: NDArray[np.bool_] = np.zeros(len(firsts), np.bool_)
        for band in self.bands.T:
            found[alone[join.sharing(band[alone]).places]] = True
        return np.flatnonzero(found)


Shingles = Iterable[tuple[int, int, hashes.Hashes]]
"""(first row, end, shingles by row) of parts of a batch; a row is in one part for each of its columns."""


def keys_of(parts: Shingles, count: int, bands: minhash.Bands) -> pa.Array:
    """Fixed-size binaries, one for each of `count` rows, null for those without a word."""
    import numpy as np
    import pyarrow as pa

    signatures: NDArray[np.uint32] = np.full((bands.permutations, count), minhash.NONE, np.uint32)
    totals: NDArray[np.uint64] = np.zeros(count, np.uint64)
    given: NDArray[np.bool_] = np.zeros(count, np.bool_)
    for start, end, shingles in parts:
        part = signatures[:, start:end]
        np.minimum(part, minhash.minima(shingles, bands.permutations), out=part)
        totals[start:end] += minhash.totals(shingles)
        given[start:end] |= np.diff(shingles.offsets) > 0
    table = np.concatenate([totals.view(np.uint32).reshape(count, 2), minhash.band_keys(signatures, bands)], axis=1)
    validity = pa.py_buffer(np.packbits(given, bitorder="little").tobytes())
    width = TOTAL_BYTES + 4 * bands.number
    return pa.Array.from_buffers(pa.binary(width), count, [validity, pa.py_buffer(table.tobytes())])


def sets_of(parts: Shingles, count: int) -> pa.Array:
    """The set of each row's shingles as a list of sorted numbers: the upper BITS of their hashes."""
    import numpy as np
    import pyarrow as pa

    owned: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    several = False
    for start, _, shingles in parts:
        several |= start == 0 and len(owned) > 1
        owner = np.arange(start, start + len(shingles.offsets) - 1, dtype=np.uint64) << np.uint64(BITS)
        made: NDArray[np.uint64] = np.repeat(owner, np.diff(shingles.offsets))
        made |= shingles.values >> np.uint64(64 - BITS)
        owned.append(hashes.distinct(made))
    values = np.concatenate(owned)
    if several:
        values = hashes.distinct(values)
    owners = (values >> np.uint64(BITS)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))]).astype(np.int64)
    elements = values.astype(np.uint32)
    flat = pa.Array.from_buffers(pa.uint32(), len(elements), [None, pa.py_buffer(elements)])
    return pa.Array.from_buffers(pa.large_list(pa.uint32()), count, [None, pa.py_buffer(offsets)], children=[flat])


def as_sets(lists: pa.Array) -> Sets:
    import numpy as np

    if len(lists) == 0:  # no row was worth a look, so nobody has told the type of what there would have been
        return Sets(np.zeros(0, np.uint32), np.zeros(1, np.int64))
    return Sets(rows.as_numpy(lists.values), rows.as_numpy(lists.offsets).astype(np.int64))


def shingles_of(
    batch: pa.RecordBatch, columns: Sequence[str] = (), roles: Sequence[str] = (), *, size: int
) -> Iterator[tuple[int, int, hashes.Hashes]]:
    """The shingles of what `texts.of_batch` reads, block by block. Columns do not share shingles, so that a pair whose
    answers are swapped is no duplicate."""
    import numpy as np

    for name, read in texts.of_batch(batch, columns, roles):
        salt = np.uint64(hashes.salt(name))
        for start, end, found in words.blocks(read):
            made = words.shingles(words.regrouped(found, read.offsets[start : end + 1]), size)
            yield start, end, hashes.Hashes(made.values ^ salt, made.offsets)


def _integers(values: NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values.tobytes())])


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (dedupe, near_dedupe)}
