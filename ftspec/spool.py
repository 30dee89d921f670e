"""Batches on disk: the temporary file between two passes, and the file of finished rows."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows, shapes
from ftspec.arrays import stream
from ftspec.kept import nameless
from ftspec.shapes import Shape

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 8192


class Spool:
    """Rows between two passes, in a file without a name: whatever ends the process, nothing of it is left.

    Batches may differ in their schema, so each is a stream of its own. They are not compressed: that would cost more
    CPU than all else that is done to them here.
    """

    def __init__(self, folder: Path) -> None:
        self.file: Any = nameless(folder)
        self.starts: list[int] = [0]
        self.sizes: list[int] = []
        self.bytes = 0

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def write(self, batch: pa.RecordBatch) -> int:
        """Append a batch; returns its index."""
        pieces = stream(batch)
        self.file.writelines(pieces)
        self.starts.append(self.starts[-1] + sum(map(len, pieces)))
        self.sizes.append(batch.num_rows)
        self.bytes += batch.nbytes
        return len(self.sizes) - 1

    def read(self) -> Iterator[pa.RecordBatch]:
        """Every batch, in order."""
        return (self._told(index, self._mapped) for index in range(len(self.sizes)))

    def batch(self, index: int) -> pa.RecordBatch:
        """One batch by its index, in memory of its own."""
        return self._told(index, self._bytes)

    def _told(self, index: int, data: Callable[[int, int], pa.Buffer]) -> pa.RecordBatch:
        import pyarrow as pa

        self.file.flush()
        return pa.ipc.open_stream(data(self.starts[index], self.starts[index + 1])).read_next_batch()

    def close(self) -> None:
        """Give the space back."""
        self.file.close()

    def _mapped(self, start: int, end: int) -> pa.Buffer:
        """Pages of the file itself, which the batch gives back: nothing is copied, and where only some rows are wanted
        the rest is not even looked at. A batch keeps the file open so often: for those that come one by one."""
        import pyarrow as pa

        first = start - start % mmap.ALLOCATIONGRANULARITY
        pages = mmap.mmap(self.file.fileno(), end - first, access=mmap.ACCESS_READ, offset=first)
        return pa.py_buffer(pages).slice(start - first)

    def _bytes(self, start: int, end: int) -> pa.Buffer:
        """One call of the system gives two gigabytes at the most."""
        import pyarrow as pa

        pieces: list[bytes] = []
        while start < end:
            pieces.append(os.pread(self.file.fileno(), end - start, start))
            if not pieces[-1]:
                raise OSError("a temporary file is shorter than what was written to it")
            start += len(pieces[-1])
        return pa.py_buffer(pieces[0] if len(pieces) == 1 else b"".join(pieces))


class RowsFile:
    """The finished rows: `rows.arrow` with the columns of their shape and the hidden ones.

    It is cut into batches of one size, however the rows came: the same rows make the same bytes. They are not
    compressed: LZ4 saves a third of the room, and takes five times as long as writing and hashing what it saves.
    """

    NAME = "rows.arrow"

    def __init__(self, folder: Path, shape: Shape = "chat") -> None:
        import pyarrow as pa

        types = {"tools": pa.string(), "item": pa.json_(pa.utf8()), rows.ROW: pa.int64(), rows.SIDE: pa.string()}
        self.names = (*shapes.COLUMNS[shape], *rows.HIDDEN)
        self.schema = pa.schema([(name, types.get(name, rows.messages_type())) for name in self.names])
        self.path = folder / self.NAME
        self.sink = pa.OSFile(str(self.path), "wb")
        self.writer = pa.ipc.new_file(self.sink, self.schema)
        self.waiting: list[pa.RecordBatch] = []
        self.count = 0

    def write(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        if batch.num_rows == 0:
            return
        columns = [rows.column(batch, name) for name in self.names]
        self.waiting.append(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        self.count += batch.num_rows
        while self.count >= BLOCK_ROWS:
            self._write_block()

    def close(self) -> None:
        if self.count:
            self._write_block()
        self.writer.close()
        self.sink.close()

    def _write_block(self) -> None:
        """Write the first BLOCK_ROWS rows that wait, or all there are.

        They are copied together with an empty batch, so that Arrow copies one that is alone as well: it would write
        the end of a longer batch's buffers along, as far as they fill up to 64 bytes.
        """
        import pyarrow as pa

        parts = [self.waiting[0].slice(0, 0)]
        wanted = min(self.count, BLOCK_ROWS)
        while wanted:
            first = self.waiting.pop(0)
            parts.append(first.slice(0, wanted))
            if first.num_rows > wanted:
                self.waiting.insert(0, first.slice(wanted))
            wanted -= parts[-1].num_rows
            self.count -= parts[-1].num_rows
        self.writer.write_batch(pa.concat_batches(parts))


def read_rows(folder: Path, sides: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The finished rows that are on one of these sides, in order. Not mapped: pages once read would stay for as long as
    there is room, and count as held."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = rows.strings(list(sides))
    with pa.OSFile(str(folder / RowsFile.NAME)) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            mask = pc.is_in(batch.column(rows.SIDE), value_set=wanted)
            chosen = batch if mask.false_count == 0 else batch.filter(mask)
            if chosen.num_rows:
                yield chosen
