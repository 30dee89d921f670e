"""Rows of several sources mixed by weight, one draw per row, so that it does not depend on how batches are cut.

The source of row n is drawn by the n-th number of a generator that only the seed decides (Python's Mersenne Twister,
whose `random()` is the same in every version). Of each source rows come in its own order; one that has ended begins
anew where the mixture goes on. Memory holds a block of rows and, per source, one batch more; a small source whole.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from ftspec import rows
from ftspec.common.errors import DataError, Finding
from ftspec.spec import Mix

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 4096
SMALL = 16 << 20
"""Bytes of a source that is kept whole."""


class Piece(msgspec.Struct, frozen=True):
    """Some rows of one file of a source; `lines[i]` is the line of row i."""

    batch: pa.RecordBatch
    file: str
    lines: Sequence[int]


class Mixed(msgspec.Struct, frozen=True):
    """Some rows of the mixture with their files and lines; `counts` says how many come from each source."""

    batch: pa.RecordBatch
    files: list[str]
    lines: list[int]
    counts: list[int]


class Feed:
    """The rows of one source, as many as are wanted. `read` opens it, the first time with True."""

    def __init__(self, name: str, weight: float, read: Callable[[bool], Iterator[Piece]], repeats: bool) -> None:
        self.name, self.weight, self.read, self.repeats = name, weight, read, repeats
        self.pieces: deque[Piece] = deque()
        self.reading = read(True)
        self.held = self.seen = self.taken = 0
        self.length: int | None = None
        """How many rows it has, once that is known."""
        self.last = ("", 0)
        """File and line of the row that was taken last."""
        self.size = 0
        self.whole: list[Piece] | None = [] if repeats else None
        """All of a source that is small: to begin it anew a thousand times would take longer than all other work."""

    def fill(self, count: int) -> None:
        """Hold at least so many rows (fewer only of a source that ends), and one more or the knowledge of its end."""
        while self.held < count or (self.held == count and self.length is None):
            piece = next(self.reading, None)
            if piece is not None:
                self.pieces.append(piece)
                self.held += len(piece.lines)
                self.seen += len(piece.lines)
                self._keep(piece)
                continue
            self.length = self.seen if self.length is None else self.length
            if self.length == 0:
                hint = "look at its path, or take it out of the mixture"
                raise DataError([Finding(message=f"source '{self.name}' has no rows to mix", hint=hint)])
            if not self.repeats:
                return
            if self.held < count:
                self.reading = self.read(False) if self.whole is None else iter(self.whole)

    def _keep(self, piece: Piece) -> None:
        """Keep what the first pass over a small source gives."""
        if self.length is None and self.whole is not None:
            self.whole.append(piece)
            self.size += piece.batch.nbytes
            if self.seen > BLOCK_ROWS or self.size > SMALL:
                self.whole = None

    def take(self, count: int) -> list[Piece]:
        """The next rows: those that `fill` has made sure of."""
        found: list[Piece] = []
        self.held -= count
        self.taken += count
        while count:
            piece = self.pieces.popleft()
            size = len(piece.lines)
            if size > count:
                self.pieces.appendleft(Piece(piece.batch.slice(count), piece.file, piece.lines[count:]))
                piece = Piece(piece.batch.slice(0, count), piece.file, piece.lines[:count])
            found.append(piece)
            self.last = (piece.file, piece.lines[-1])
            count -= min(size, count)
        return found

    def end(self, choice: Sequence[int], own: int) -> int | None:
        """After how many of these draws the source has been read to its end for the first time; None for later."""
        if self.length is None or self.taken >= self.length:
            return 0 if self.length is not None else None
        left = self.length - self.taken
        for at, chosen in enumerate(choice, 1):
            left -= chosen == own
            if left == 0:
                return at
        return None


def mixed(feeds: Sequence[Feed], mix: Mix) -> Iterator[Mixed]:
    """The mixture, in blocks. Raises DataError for a source without rows."""
    draw = random.Random(mix.seed).random
    total = sum(feed.weight for feed in feeds)
    bounds = [*accumulate(feed.weight / total for feed in feeds[:-1])]
    left = mix.until if isinstance(mix.until, int) else None
    while left is None or left > 0:
        choice = [bisect_right(bounds, draw()) for _ in range(BLOCK_ROWS if left is None else min(left, BLOCK_ROWS))]
        for own, feed in enumerate(feeds):
            feed.fill(choice.count(own))
        stop = _stop(feeds, choice, mix)
        choice = choice[:stop]
        if choice:
            yield _assembled(feeds, choice)
        if stop is not None:
            return
        left = None if left is None else left - len(choice)


def _stop(feeds: Sequence[Feed], choice: Sequence[int], mix: Mix) -> int | None:
    """After how many of these draws the mixture ends; None where it goes on."""
    ends = [feed.end(choice, own) for own, feed in enumerate(feeds)]
    known = [end for end in ends if end is not None]
    if mix.until == "first_exhausted":
        return min(known, default=None)
    if mix.until == "all_exhausted" and len(known) == len(ends):
        return max(known)
    return None


def _assembled(feeds: Sequence[Feed], choice: Sequence[int]) -> Mixed:
    counts = [choice.count(own) for own in range(len(feeds))]
    pieces = [piece for feed, count in zip(feeds, counts, strict=True) for piece in feed.take(count)]
    starts = [sum(counts[:own]) for own in range(len(feeds))]
    order = []
    for own in choice:
        order.append(starts[own])
        starts[own] += 1
    files = [piece.file for piece in pieces for _ in piece.lines]
    lines = [line for piece in pieces for line in piece.lines]
    batch = _stacked([piece.batch for piece in pieces], rows.integers(order))
    return Mixed(batch, [files[at] for at in order], [lines[at] for at in order], counts)


def _stacked(batches: Sequence[pa.RecordBatch], order: pa.Array) -> pa.RecordBatch:
    """The rows of all batches, which may have different columns, in this order."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for batch in batches for name in batch.schema.names))
    columns = [_column(name, batches).take(order) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _column(name: str, batches: Sequence[pa.RecordBatch]) -> pa.Array:
    import pyarrow as pa

    types = {batch.schema.field(name).type for batch in batches if name in batch.schema.names}
    if len(types) > 1:
        values = [value for batch in batches for value in rows.values(batch, name)]
        return rows.cell(name, values)
    (kind,) = types
    parts = [batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows, kind) for batch in batches]
    return pa.concat_arrays(parts)
