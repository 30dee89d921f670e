"""Where two columns of the same rows differ in value: only texts that are not the same letter by letter are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftspec.layout import chat
from ftspec.layout.arrays import is_json, scalar, strings
from ftspec.layout.canonical import JSON_CHILDREN, canonical, canonical_json
from ftspec.layout.texts import any_message

if TYPE_CHECKING:
    import pyarrow as pa


def differ(old: pa.Array, new: pa.Array) -> pa.Array | None:
    """Whether each row's value in `new` is another than in `old`, of whatever types; None when all are alike.

    The same as comparing `canonical` of both.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if old.type == new.type == chat.messages_type() and old.value_lengths().equals(new.value_lengths()):
        return _messages_differ(old, new)
    if _are_equal(old, new):
        return None
    if old.type == new.type == pa.string():
        return _texts_differ(old, new)
    if is_json(old.type) and is_json(new.type):
        return _json_differs(old.storage, new.storage)
    empty = scalar("")
    return _texts_differ(pc.coalesce(canonical(old), empty), pc.coalesce(canonical(new), empty))


def _are_equal(old: pa.Array, new: pa.Array) -> bool:
    """Most are in the same place: Arrow would compare them with themselves."""
    if old.type == new.type and not old.type.num_fields and (old.offset, len(old)) == (new.offset, len(new)):
        places = [[None if buffer is None else buffer.address for buffer in each.buffers()] for each in (old, new)]
        if places[0] == places[1]:
            return True
    return bool(old.equals(new))


def _texts_differ(old: pa.Array, new: pa.Array) -> pa.Array:
    """Null differs from every text, and from the empty one too."""
    import pyarrow.compute as pc

    unlike = pc.not_equal(old, new)
    return pc.coalesce(unlike, pc.not_equal(pc.is_null(old), pc.is_null(new))) if unlike.null_count else unlike


def _json_differs(old: pa.Array, new: pa.Array) -> pa.Array:
    """White space and the order of keys make no difference."""
    import pyarrow.compute as pc

    unlike = _texts_differ(old, new)
    pair = [strings([canonical_json(text) for text in each.filter(unlike).to_pylist()]) for each in (old, new)]
    return pc.replace_with_mask(unlike, unlike, _texts_differ(*pair))


def _messages_differ(old: pa.Array, new: pa.Array) -> pa.Array | None:
    """Of messages that begin and end at the same places: a row differs where a child of one of its messages does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before, after = chat.children(old), chat.children(new)
    mask = None
    for name in chat.FIELDS:
        if _are_equal(before[name], after[name]):
            continue
        pair = (before[name].cast(pa.string()), after[name].cast(pa.string()))
        unlike = _json_differs(*pair) if name in JSON_CHILDREN else _texts_differ(*pair)
        mask = unlike if mask is None else pc.or_(mask, unlike)
    return None if mask is None else any_message(old, mask)
