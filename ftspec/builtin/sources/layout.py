"""What most rows of a file of JSON lines look like, so that Arrow can parse them: ten times as fast as one by one.

A Layout takes only what it reads exactly as `rows.from_dicts` would. So what was learnt from earlier rows decides which
way a line is read, and never what is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import rows
from ftspec.builtin.sources.machine import ESCAPED, PlainLines

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("role", "content", "name", "tool_call_id", "weight")
"""Keys of messages whose values Arrow reads as they are."""
LARGEST = 2**31 - 2
"""Bytes that Arrow's parser takes at once."""
NOTHING = {type(None), msgspec.UnsetType}


class Layout:
    """Columns by name, of type null where Arrow can read nothing but nulls; and keys of messages."""

    def __init__(self, columns: Mapping[str, pa.DataType], keys: frozenset[str] = frozenset()) -> None:
        self.columns, self.keys = columns, keys

    @property
    def is_empty(self) -> bool:
        return not self.columns

    @cached_property
    def is_odd(self) -> bool:
        """Whether a column's name is one that no decoder of structs takes: such rows are read one by one."""
        return any(ESCAPED.intersection(name) for name in self.columns)

    def learn(self, batch: pa.RecordBatch) -> Layout:
        """With what these rows have."""
        import pyarrow as pa

        columns, keys = dict(self.columns), self.keys
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name == "tools" or rows.is_json(column.type):
                columns[name] = pa.null()
            elif name == "messages" or column.null_count < len(column):
                columns[name] = column.type
            else:
                columns.setdefault(name, pa.null())
            if column.type == rows.MESSAGES:
                said = rows.children(column)
                keys |= {key for key in KEYS if said[key].null_count < len(said[key])}
        return self if (columns, keys) == (self.columns, self.keys) else Layout(columns, keys)

    def only(self, names: list[str]) -> Layout:
        """Without the columns that no row had: a column that is there, or null, is told from one that is not by a
        second look at every row."""
        if len(names) == len(self.columns):
            return self
        return Layout({name: kind for name, kind in self.columns.items() if name in names}, self.keys)

    def fits(self, line: bytes) -> bool:
        """Whether a line is a row with these columns and no others."""
        if self.is_odd:
            return False
        try:
            self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        return True

    def parse(self, data: bytes) -> pa.RecordBatch | None:
        """The rows of lines that hold one object each; None where Arrow does not take them, or may misread one.

        Its parser must be given nothing else: it reads two objects from one line, and crashes on a lone `null`.
        """
        import pyarrow as pa
        import pyarrow.json as arrow_json

        if len(data) > LARGEST or self.is_odd or not self.columns:
            return None
        reading = arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1)
        parsing = arrow_json.ParseOptions(explicit_schema=self._schema, unexpected_field_behavior="error")
        try:
            table = arrow_json.read_json(pa.BufferReader(data), read_options=reading, parse_options=parsing)
            table.validate(full=True)  # whether texts are UTF-8: the parser does not look
        except pa.ArrowInvalid:
            return None
        columns = {name: _whole(table.column(name)) for name in self.columns}
        said = columns.get("messages")
        if said is not None:
            keys = dict(zip(sorted(self.keys), said.values.flatten(), strict=True))
            if said.values.null_count or not _are_weights(keys.get("weight")):
                return None
            columns["messages"] = rows.from_children(said, keys)
        return self._settled(columns, data)

    def _settled(self, columns: dict[str, pa.Array], data: bytes) -> pa.RecordBatch | None:
        """Columns as their values make them: only a look at those tells null from missing, and 1 from 1.0."""
        import pyarrow as pa

        doubtful = [name for name, column in columns.items() if _is_doubtful(column)]
        try:
            kinds = self._kinds(doubtful, data) if doubtful else {}
        except msgspec.MsgspecError:  # NaN, which is not JSON
            return None
        kept: dict[str, pa.Array] = {}
        for name, column in columns.items():
            found = kinds.get(name, set())
            if column.type == pa.float64() and int in found:
                return None
            if found != {msgspec.UnsetType}:
                is_null = bool(found) and found <= NOTHING and name != "messages"
                kept[name] = pa.nulls(len(column), pa.string()) if is_null else column
        return pa.RecordBatch.from_arrays(list(kept.values()), names=list(kept)) if kept else None

    def _kinds(self, names: list[str], data: bytes) -> dict[str, set[type]]:
        """The Python types of each column's values, that of UNSET among them where a row lacks it."""
        values = self._decoder.decode_lines(data)
        fields = {name: f"c{at}" for at, name in enumerate(self.columns)}
        return {name: {type(getattr(value, fields[name])) for value in values} for name in names}

    @cached_property
    def plain(self) -> PlainLines:
        return PlainLines(self.columns, self.keys)

    @cached_property
    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        message = pa.struct([(key, pa.float64() if key == "weight" else pa.string()) for key in sorted(self.keys)])
        kinds = {name: pa.list_(message) if kind == rows.MESSAGES else kind for name, kind in self.columns.items()}
        return pa.schema(list(kinds.items()))

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        keys = [(key, (int | float if key == "weight" else str) | None, None) for key in sorted(self.keys)]
        strict: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False}
        kinds = _python_types(msgspec.defstruct("Message", keys, **strict))
        columns = [
            (f"c{at}", kinds[kind] | msgspec.UnsetType | None, msgspec.UNSET)
            for at, kind in enumerate(self.columns.values())
        ]
        names = {f"c{at}": name for at, name in enumerate(self.columns)}
        return msgspec.json.Decoder(msgspec.defstruct("Row", columns, rename=names, **strict))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array: what it is from the beginning, unless Arrow has cut the lines (`combine_chunks` copies
    even then)."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _python_types(message: Any) -> dict[pa.DataType, Any]:
    import pyarrow as pa

    texts = {pa.string(): str, pa.int64(): int, pa.float64(): int | float, pa.bool_(): bool}
    return {**texts, rows.MESSAGES: list[message], pa.null(): None}


def _is_doubtful(column: pa.Array) -> bool:
    """Whether all is null, or a number may have been written as a whole one: Arrow reads NaN too, which is not JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return True
    if column.type != pa.float64():
        return False
    broken = pc.and_(pc.is_finite(column), pc.not_equal(pc.floor(column), column))
    return not pc.all(broken).as_py()


def _are_weights(weights: pa.Array | None) -> bool:
    """Whether none is NaN or infinite, which is not JSON, or -0, which is 0 when written as a whole number."""
    import pyarrow.compute as pc

    if weights is None:
        return True
    return pc.all(pc.greater(pc.divide(rows.scalar(1.0), weights), rows.scalar(0.0))).as_py() is not False
