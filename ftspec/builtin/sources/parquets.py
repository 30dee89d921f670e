"""Parquet files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from ftspec import api
from ftspec.builtin.files import BATCH_ROWS, File, Read, each, no_row

INDEX = re.compile("__index_level_[0-9]+__")
"""What pandas calls an index that has no name."""


@api.source(code=["ftspec.builtin.files"])
def parquet(
    *,
    path: api.Path,
    columns: Annotated[list[str], Meta(description="Columns to read; all of them when empty.")] = [],
) -> api.Source:
    """Read rows from Parquet files. Dates, times and decimals become text, lists and structs JSON.

    NaN and infinite numbers are missing. An index that pandas has written without a name is no column.
    Columns of bytes that are no text, such as images, cannot be read: leave them out by `columns`.
    """
    return api.Source(lambda: each(path, (".parquet",), lambda file: _read_parquet(file, columns)))


def _read_parquet(file: File, columns: Sequence[str]) -> Read:
    import pyarrow as pa
    import pyarrow.parquet

    number = 1
    try:
        with pyarrow.parquet.ParquetFile(file.path) as table:
            names = table.schema_arrow.names
            if twice := [name for name in names if names.count(name) > 1]:
                yield no_row(f"two columns are named '{twice[0]}'", file.name, 1)
                return
            if missing := [name for name in columns if name not in names]:
                message = f"no column '{missing[0]}' is in the file; it has {', '.join(map(repr, names))}"
                yield api.Finding(message=message, hint="mend `columns`", file=file.name, line=1)
                return
            wanted = list(columns) or [name for name in names if not INDEX.fullmatch(name)]
            for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                yield api.Chunk(batch, file.name, range(number, number + batch.num_rows))
                number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        yield no_row(f"not a Parquet file that can be read: {error}", file.name, number)
