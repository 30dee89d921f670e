"""Parquet files."""

from __future__ import annotations

from ftspec import api
from ftspec.builtin.files import BATCH_ROWS, File, Read, each, no_row


@api.source(code=["ftspec.builtin.files"])
def parquet(*, path: api.Path) -> api.Source:
    """Read rows from Parquet files. Dates, times and decimals become text, lists and structs JSON."""
    return api.Source(lambda: each(path, (".parquet",), _read_parquet))


def _read_parquet(file: File) -> Read:
    import pyarrow as pa
    import pyarrow.parquet

    number = 1
    try:
        with pyarrow.parquet.ParquetFile(file.path) as table:
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                yield api.Chunk(batch, file.name, range(number, number + batch.num_rows))
                number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        yield no_row(f"not a Parquet file that can be read: {error}", file.name, number)
