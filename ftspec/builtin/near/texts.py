"""The texts of a row that say whether it is like another: of its columns, or of what its messages say and call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ftspec import rows
from ftspec.builtin.near.words import Texts

if TYPE_CHECKING:
    import pyarrow as pa


def of_batch(batch: pa.RecordBatch, columns: Sequence[str], roles: Sequence[str] = ()) -> Iterator[tuple[str, Texts]]:
    """(column, its texts by row) of the chosen columns.

    Without any, these are the messages of rows that have `messages` (and the answers of a preference pair), and every
    text of rows that have none: not numbers. What a column holds counts by the value, however batches were cut.
    """
    names = [name for name in columns if name in batch.schema.names] if columns else rows.visible(batch)
    spoken = rows.column(batch, "messages").is_valid()
    for name in sorted(names):
        column = batch.column(name)
        if column.type == rows.MESSAGES:
            yield name, of_messages(column, roles)
        elif columns or name != "tools":
            texts = rows.as_text(column) if columns else _only_texts(column)
            if texts is not None:
                yield name, _one_each(texts if columns else _unless(spoken, texts))


def of_messages(messages: pa.Array, roles: Sequence[str]) -> Texts:
    """What each message says and calls; with `roles`, the others say nothing."""
    import numpy as np
    import pyarrow.compute as pc

    fields = rows.children(messages)
    said = rows.contents(messages)
    if fields["tool_calls"].null_count < len(said):
        called = rows.strings([None if text is None else _calls(text) for text in fields["tool_calls"].to_pylist()])
        said = pc.binary_join_element_wise(
            pc.coalesce(said, rows.scalar("")), pc.coalesce(called, rows.scalar("")), rows.scalar(" ")
        )
    if roles:
        wanted = pc.is_in(fields["role"], value_set=rows.strings(list(roles)))
        said = pc.if_else(pc.coalesce(wanted, rows.scalar(False)), said, rows.scalar(""))
    counts = pc.coalesce(messages.value_lengths(), rows.scalar(0))
    ends = np.cumsum(rows.as_numpy(counts), dtype=np.int64)
    return Texts(pc.coalesce(said, rows.scalar("")), np.concatenate([[0], ends]).astype(np.int64))


def _one_each(texts: pa.Array) -> Texts:
    import numpy as np
    import pyarrow.compute as pc

    return Texts(pc.coalesce(texts, rows.scalar("")), np.arange(len(texts) + 1))


def _only_texts(column: pa.Array) -> pa.Array | None:
    """Texts, lists and objects of a column; None where it has but numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.string():
        return column
    if not rows.is_json(column.type):
        return None
    worth = pc.match_substring_regex(column.storage, r'^["\[{]')
    return _unless(pc.invert(pc.coalesce(worth, rows.scalar(False))), rows.as_text(column))


def _unless(mask: pa.Array, texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(mask, rows.scalar(""), texts)


def _calls(text: str) -> str:
    """Tool calls without their ids, which differ even where nothing else does."""
    calls = msgspec.json.decode(text)
    return rows.calls_text(calls) if all(isinstance(call, Mapping) for call in calls) else text
