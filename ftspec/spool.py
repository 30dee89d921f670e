"""Batches on disk: the temporary file between two passes, and the file of finished rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec import rows, shapes
from ftspec.kept import nameless
from ftspec.provider import Shape

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 8192


class Spool:
    """Rows between two passes, in a file without a name: whatever ends the process, nothing of it is left.

    Batches may differ in their schema, so each is a stream of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.file: Any = nameless(folder)
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.bytes = 0

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def write(self, batch: pa.RecordBatch) -> int:
        """Append a batch; returns its index."""
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self.starts.append(self.file.tell())
        with pa.ipc.new_stream(self.file, batch.schema, options=options) as stream:
            stream.write_batch(batch)
        self.sizes.append(batch.num_rows)
        self.bytes += batch.nbytes
        return len(self.sizes) - 1

    def read(self) -> Iterator[pa.RecordBatch]:
        """Every batch, in order."""
        return (self.batch(index) for index in range(len(self.sizes)))

    def batch(self, index: int) -> pa.RecordBatch:
        """One batch by its index. Not while another thread reads: the file has one position."""
        import pyarrow as pa

        self.file.seek(self.starts[index])
        return pa.ipc.open_stream(pa.PythonFile(self.file, "r")).read_next_batch()

    def close(self) -> None:
        """Give the space back."""
        self.file.close()


class RowsFile:
    """The finished rows: `rows.arrow` with the columns of their shape and the hidden ones.

    It is cut into batches of one size, however the rows came: the same rows make the same bytes.
    """

    NAME = "rows.arrow"

    def __init__(self, folder: Path, shape: Shape = "chat") -> None:
        import pyarrow as pa

        types = {"tools": pa.string(), "item": pa.json_(pa.utf8()), rows.ROW: pa.int64(), rows.SIDE: pa.string()}
        self.names = (*shapes.COLUMNS[shape], *rows.HIDDEN)
        self.schema = pa.schema([(name, types.get(name, rows.messages_type())) for name in self.names])
        self.path = folder / self.NAME
        self.sink = pa.OSFile(str(self.path), "wb")
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self.writer = pa.ipc.new_file(self.sink, self.schema, options=options)
        self.waiting: list[pa.RecordBatch] = []
        self.count = 0

    def write(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        if batch.num_rows == 0:
            return
        columns = [rows.column(batch, name) for name in self.names]
        self.waiting.append(pa.RecordBatch.from_arrays(columns, schema=self.schema))
        self.count += batch.num_rows
        if self.count >= BLOCK_ROWS:
            self._flush(whole=False)

    def close(self) -> None:
        self._flush(whole=True)
        self.writer.close()
        self.sink.close()

    def _flush(self, *, whole: bool) -> None:
        import pyarrow as pa

        if not self.waiting:
            return
        together = pa.concat_batches(self.waiting)
        start = 0
        while together.num_rows - start >= (1 if whole else BLOCK_ROWS):
            self.writer.write_batch(together.slice(start, BLOCK_ROWS))
            start += BLOCK_ROWS
        rest = together.slice(start)
        self.waiting, self.count = ([rest], rest.num_rows) if rest.num_rows else ([], 0)


def read_rows(folder: Path, sides: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The finished rows that are on one of these sides, in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = rows.strings(list(sides))
    with pa.memory_map(str(folder / RowsFile.NAME)) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            chosen = batch.filter(pc.is_in(batch.column(rows.SIDE), value_set=wanted))
            if chosen.num_rows:
                yield chosen
