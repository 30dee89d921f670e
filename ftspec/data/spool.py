"""Batches on disk: the temporary file between two passes, and the file of finished rows."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import rows
from ftspec.files.kept import nameless
from ftspec.files.ondisk import HashedFile
from ftspec.layout import shapes
from ftspec.layout.arrays import stream
from ftspec.layout.shapes import Shape

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 8192


class Held(NamedTuple):
    """Where a file holds a batch as a stream, its rows numbered from 0; the first of them is row `first`."""

    path: Path | None
    start: int
    end: int
    first: int = 0


class Spool:
    """Rows between two passes, in a file without a name: whatever ends the process, nothing of it is left.

    Batches may differ in their schema, so each is a stream of its own. They are not compressed: that would cost more
    CPU than all else that is done to them here. One that a file holds already is not written: the file gets a second
    name, below `folder`, under which it is there even when others remove it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: Any = nameless(folder)
        self.end = 0
        self.places: list[Held] = []
        """Of each batch; without a path where it is in the file."""
        self.names: TemporaryDirectory[str] | None = None
        self.sizes: list[int] = []
        self.bytes = 0

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def write(self, batch: pa.RecordBatch, held: Held | None = None) -> int:
        """Append a batch, which may be `held`; returns its index."""
        self.places.append((held and self._named(held)) or self._written(batch))
        self.sizes.append(batch.num_rows)
        self.bytes += batch.nbytes
        return len(self.sizes) - 1

    def read(self) -> Iterator[pa.RecordBatch]:
        """Every batch, in order."""
        return (self._told(index, self._mapped) for index in range(len(self.sizes)))

    def batch(self, index: int) -> pa.RecordBatch:
        """One batch by its index, in memory of its own."""
        return self._told(index, self._bytes)

    def close(self) -> None:
        """Give the space back."""
        self.file.close()
        if self.names:
            self.names.cleanup()

    def _written(self, batch: pa.RecordBatch) -> Held:
        pieces = stream(batch)
        self.file.writelines(pieces)
        start, self.end = self.end, self.end + sum(map(len, pieces))
        return Held(None, start, self.end)

    def _named(self, held: Held) -> Held | None:
        """None where the file is gone, or where its file system is another one, or gives no second names."""
        try:
            self.names = self.names or TemporaryDirectory(dir=self.folder)
            path = Path(self.names.name, str(len(self.places)))
            path.hardlink_to(held.path or "")
        except OSError:
            return None
        return held._replace(path=path)

    def _told(self, index: int, data: Callable[[int, int, int], pa.Buffer]) -> pa.RecordBatch:
        import pyarrow.compute as pc

        place = self.places[index]
        if not place.path:
            self.file.flush()
            return _first_batch(data(self.file.fileno(), place.start, place.end))
        with place.path.open("rb") as file:
            batch = _first_batch(data(file.fileno(), place.start, place.end))
        at = batch.schema.get_field_index(rows.ROW)
        return batch.set_column(at, rows.ROW, pc.add(batch.column(at), rows.scalar(place.first)))

    @staticmethod
    def _mapped(file: int, start: int, end: int) -> pa.Buffer:
        """Pages of the file itself, which the batch gives back: nothing is copied, and where only some rows are wanted
        the rest is not even looked at. A batch keeps the file open so often: for those that come one by one."""
        import pyarrow as pa

        first = start - start % mmap.ALLOCATIONGRANULARITY
        pages = mmap.mmap(file, end - first, access=mmap.ACCESS_READ, offset=first)
        return pa.py_buffer(pages).slice(start - first)

    @staticmethod
    def _bytes(file: int, start: int, end: int) -> pa.Buffer:
        """One call of the system gives two gigabytes at the most."""
        import pyarrow as pa

        pieces: list[bytes] = []
        while start < end:
            pieces.append(os.pread(file, end - start, start))
            if not pieces[-1]:
                raise OSError("a temporary file is shorter than what was written to it")
            start += len(pieces[-1])
        return pa.py_buffer(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def _first_batch(data: pa.Buffer) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_next_batch()


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
        self.hashed = HashedFile(self.path)
        self.sink = io.BufferedWriter(self.hashed, 1 << 20)
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

    @property
    def sha256(self) -> str:
        """Of the closed file."""
        return self.hashed.digest

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
