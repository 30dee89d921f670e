"""The texts of a row where what becomes of one depends on the others: a function per row, in place of one for all.

The order of a row's texts does not depend on how rows were cut into batches: `messages` first, then columns by name;
in messages all contents, then all parts of contents, then all tool calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ftspec.layout import chat
from ftspec.layout.arrays import is_json, json_texts, scalar, strings
from ftspec.layout.nested import changed, map_call, map_entry, map_nested, map_part, map_value, map_whole
from ftspec.layout.rowcolumns import visible
from ftspec.layout.textmaps import Marked, Prefilter, map_numbers

if TYPE_CHECKING:
    import pyarrow as pa

Function = Callable[..., str]
Walk = Callable[[Any, Function], Any]


def map_text_by_row(
    batch: pa.RecordBatch,
    of_row: Callable[[int], Function],
    *,
    prefilter: Prefilter = None,
    columns: Iterable[str] = (),
    nested: bool = True,
    whole: bool = False,
) -> pa.RecordBatch:
    """`map_text` with a function of its own for every row that has a text worth a call.

    `of_row` makes it of the row's place in the batch, from 0.
    """
    functions: dict[int, Function] = {}
    walk: Walk = map_whole if whole else map_nested

    def at(row: int) -> Function:
        if row not in functions:
            functions[row] = of_row(row)
        return functions[row]

    named = set(columns)
    chosen = named or {name for name in visible(batch) if name != "tools"}
    for name in sorted(chosen & set(batch.schema.names), key=lambda name: (name != "messages", name)):
        column = batch.column(name)
        after = _map_column(name, column, at, prefilter, nested or name in named, walk)
        if after is not column:
            batch = batch.set_column(batch.schema.get_field_index(name), name, after)
    return batch


def _map_column(
    name: str,
    column: pa.Array,
    at: Callable[[int], Function],
    prefilter: Prefilter,
    nested: bool,
    walk: Walk,
) -> pa.Array:
    import pyarrow as pa

    def plain(value: Any, function: Function) -> Any:
        return map_value(name, value, function, walk) if nested or isinstance(value, str) else value

    own = range(len(column))
    if column.type == pa.string():
        return _map_strings(column, at, prefilter, own)
    if is_json(column.type):
        after = _map_json(column.storage, plain, at, own)
        return column if after is column.storage else json_texts(after.to_pylist())
    if column.type == chat.messages_type():
        return _map_messages(column, at, prefilter, nested, walk)
    if walk is map_whole and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return map_numbers(column, lambda row, number: map_entry(name, number, at(row)))
    return column


def _map_messages(
    column: pa.Array, at: Callable[[int], Function], prefilter: Prefilter, nested: bool, walk: Walk
) -> pa.Array:
    before = chat.children(column)
    owners = chat.parents(column).to_pylist()
    after = {
        "content": _map_strings(before["content"], at, prefilter, owners),
        "parts": _map_json(before["parts"], lambda parts, f: [map_part(part, f) for part in parts], at, owners),
    }
    if nested:
        after["tool_calls"] = _map_json(
            before["tool_calls"], lambda calls, f: [map_call(call, f, walk) for call in calls], at, owners
        )
    if walk is map_whole:
        after["name"] = _map_strings(before["name"], at, prefilter, owners)
        after["extra"] = _map_json(before["extra"], walk, at, owners)
    return chat.with_children(column, {name: child for name, child in after.items() if child is not before[name]})


def _map_strings(
    texts: pa.Array, at: Callable[[int], Function], prefilter: Prefilter, owners: range | list[int]
) -> pa.Array:
    """`owners` are the rows that the texts belong to."""
    import pyarrow.compute as pc

    if texts.null_count == len(texts):
        return texts
    if callable(prefilter):
        marked = Marked(texts, prefilter(texts))
        each = zip(marked.places, marked.texts, marked.marks, strict=True)
        return marked.put([at(owners[place])(text, mark) for place, text, mark in each]).array
    found = texts.is_valid() if prefilter is None else pc.match_substring_regex(texts, prefilter)
    mask = pc.coalesce(found, scalar(False))
    hits = texts.filter(mask)
    where = pc.indices_nonzero(mask).to_pylist()
    after = strings([at(owners[index])(text) for index, text in zip(where, hits.to_pylist(), strict=True)])
    return texts if after.equals(hits) else pc.replace_with_mask(texts, mask, after)


def _map_json(
    texts: pa.Array,
    change: Callable[[Any, Function], Any],
    at: Callable[[int], Function],
    owners: range | list[int],
) -> pa.Array:
    if texts.null_count == len(texts):
        return texts

    def after(row: int, text: str) -> str:
        return changed(text, lambda value: change(value, at(row)))

    pairs = zip(owners, texts.to_pylist(), strict=True)
    made = strings([None if text is None else after(row, text) for row, text in pairs])
    return texts if made.equals(texts) else made
