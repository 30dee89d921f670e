"""How rows are laid out in Arrow record batches, and helpers that step authors need too.

Before `format` a row has the source's own columns. After it: `messages` (type MESSAGES), `tools` (JSON text or null); a
preference pair also has `chosen` and `rejected` (type MESSAGES), a reinforcement item `item` (an object as JSON).
A column is text, int64, float64, boolean, or `arrow.json` (JSON text) where the values of one batch differ in type or
are lists and objects; null and missing mean the same. `messages` and `tools` have their fixed types from the source on.

Hidden columns travel with the row through every step and never reach a provider's file; no column of a row can have
their names, nor `_reason` and `_place`, all others it can (`_id`):

* `_row`   int64, the row's number over all sources in order, from 1; the ledger speaks of rows by it
* `_side`  string, "train", "validation", "test" or "prompt": decided from the source row's content, before cleaning

All that this module has comes from other rooms: it is what plugins import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.layout.arrays import (
    as_numpy,
    binaries,
    booleans,
    floats,
    from_numpy,
    integers,
    is_json,
    json_texts,
    part_of,
    repeated,
    scalar,
    strings,
)
from ftspec.layout.canonical import KEY_BYTES, equal_keys, fingerprints
from ftspec.layout.chat import (
    calls_text,
    children,
    from_children,
    interleave,
    messages_type,
    parents,
    to_json,
    with_children,
)
from ftspec.layout.chatlines import Conversations, Part, parts
from ftspec.layout.conforming import cell, conform, fault, from_dicts, jsonable
from ftspec.layout.examples import examples, pair
from ftspec.layout.nested import map_nested
from ftspec.layout.rowcolumns import (
    HIDDEN,
    PLACE,
    REASON,
    ROW,
    SIDE,
    column,
    drop,
    hidden,
    mention,
    to_dicts,
    values,
    visible,
)
from ftspec.layout.rowtexts import map_text_by_row
from ftspec.layout.shapes import Fault, apart, conversation
from ftspec.layout.textmaps import map_text
from ftspec.layout.texts import as_text, contents, is_empty, lengths, pattern_fault

if TYPE_CHECKING:
    import pyarrow as pa

    MESSAGES: pa.DataType

__all__ = [
    "HIDDEN", "KEY_BYTES", "MESSAGES", "PLACE", "REASON", "ROW", "SIDE", "Conversations", "Fault", "Part", "apart",
    "as_numpy", "as_text", "binaries", "booleans", "calls_text", "cell", "children", "column", "conform", "contents",
    "conversation", "drop", "equal_keys", "examples", "fault", "fingerprints", "floats", "from_children", "from_dicts",
    "from_numpy", "hidden", "integers", "interleave", "is_empty", "is_json", "json_texts", "jsonable", "lengths",
    "map_nested", "map_text", "map_text_by_row", "mention", "messages_type", "pair", "parents", "part_of", "parts",
    "pattern_fault", "repeated", "scalar", "strings", "to_dicts", "to_json", "values", "visible", "with_children",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """MESSAGES is made when first asked for: this module is loaded where pyarrow must not be."""
    if name == "MESSAGES":
        return messages_type()
    raise AttributeError(name)
