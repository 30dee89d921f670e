"""JSON lines of nothing but texts, and messages of nothing but texts, read by machine code (the extra `fast`).

Most files to tune on are such, and whatever many cores clean, one has to read: Arrow's parser takes four times as long.
The rows are those that it makes; lines with anything else are left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ftspec import rows
from ftspec.compiled import native

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 128 << 20
"""Bytes of lines that are read at once, times names: of each there is room for as many texts as lines could hold."""
MOST = 60
"""Columns and keys: the kernels have a bit for each."""
ESCAPED = frozenset('"\\') | frozenset(map(chr, range(0x20)))
"""A name with one of these is not written as it is."""


class PlainLines:
    """Reads lines that have all of these columns, each a text or messages whose values are texts, under these keys."""

    def __init__(self, columns: Mapping[str, pa.DataType], keys: frozenset[str]) -> None:
        self.columns, self.keys = dict(columns), sorted(keys)
        self.messages = list(columns).index("messages") if "messages" in columns else -1

    @cached_property
    def is_read(self) -> bool:
        """Whether the kernels read such lines at all."""
        import pyarrow as pa

        names = [*self.columns, *self.keys]
        if not 0 < len(names) <= MOST or "weight" in self.keys or any(ESCAPED.intersection(name) for name in names):
            return False
        return all(
            kind == (rows.MESSAGES if name == "messages" else pa.string()) for name, kind in self.columns.items()
        )

    def parse(self, data: bytes) -> pa.RecordBatch | None:
        """The rows; None where a line is another one, or nothing has been compiled."""
        import pyarrow as pa

        kernels = native.loaded(len(data) // native.READ, compiles=False) if self.is_read else None
        if kernels is None or len(data) * len(self._names) > LARGEST:
            return None
        found = kernels.lines(data, self._names, len(self.columns), self.messages)
        if found is None:
            return None
        try:
            for each in found.texts.values():
                each.validate(full=True)  # whether they are UTF-8: the kernels do not look
        except pa.ArrowInvalid:
            return None
        columns = [found.texts[at] if at in found.texts else self._messages(found) for at in range(len(self.columns))]
        return pa.RecordBatch.from_arrays(columns, names=list(self.columns))

    @cached_property
    def _names(self) -> list[bytes]:
        return [f'"{name}"'.encode() for name in (*self.columns, *self.keys)]

    def _messages(self, found: native.Lines) -> pa.Array:
        import pyarrow as pa

        said = {key: found.texts[len(self.columns) + at] for at, key in enumerate(self.keys)}
        lists = pa.ListArray.from_arrays(rows.from_numpy(found.offsets), pa.nulls(int(found.offsets[-1])))
        return rows.from_children(lists, said)
