"""The texts of a row, wherever they stand: in text columns, in JSON columns, in messages and in tool calls.

Arrow does the work on whole columns; Python sees only the values that need it. No function here depends on how rows
were cut into batches: a value that one batch holds as a number and another as JSON text means the same in both.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ftspec import chat
from ftspec.arrays import binaries, flags, integers, is_json, json_texts, scalar, strings
from ftspec.chat import decode, to_json

if TYPE_CHECKING:
    import pyarrow as pa

Prefilter = str | Callable[["pa.Array"], Mapping[int, int]] | None
"""Which texts are worth a call: those that an RE2 pattern finds, or those that a function of an array of texts names by
place, in order, each with a number that the step's function gets as its second argument."""
JSON_CHILDREN = ("parts", "tool_calls", "extra")
KEY_BYTES = 16


def as_text(column: pa.Array) -> pa.Array:
    """A column as texts: texts as they are, messages by their contents (one per line), other values as JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.string():
        return column
    if column.type == chat.messages_type():
        said = pc.coalesce(contents(column), scalar(""))
        return pc.binary_join(_listed(column, said), scalar("\n"))
    return _other_as_text(column)


def _other_as_text(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if is_json(column.type):
        return strings([_unquoted(text) for text in column.storage.to_pylist()])
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    return strings([None if value is None else to_json(value) for value in column.to_pylist()])


def lengths(column: pa.Array) -> pa.Array:
    """Characters per row: of the text, or of all contents of the messages."""
    import pyarrow.compute as pc

    if column.type == chat.messages_type():
        return _summed(column, pc.coalesce(pc.utf8_length(contents(column)), scalar(0)))
    return pc.coalesce(pc.utf8_length(as_text(column)), scalar(0))


def _summed(messages: pa.Array, values: pa.Array) -> pa.Array:
    """The sum of flat values, one per message, over each row's messages."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = chat.compact(messages).offsets
    running = pa.concat_arrays([integers([0]), pc.cumulative_sum(values.cast(pa.int64()))]).take(ends)
    return pc.subtract(running.slice(1), running.slice(0, len(messages)))


def is_empty(column: pa.Array) -> pa.Array:
    """Whether a row has nothing there: null, only white space, or messages of which one says and calls nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == chat.messages_type():
        return _has_silent_message(column)
    if column.type == pa.string() or is_json(column.type):
        return _is_blank(as_text(column))
    return pc.is_null(column)


def _is_blank(texts: pa.Array) -> pa.Array:
    """Whether a text is null or has nothing but white space."""
    import pyarrow.compute as pc

    return pc.coalesce(pc.or_(pc.utf8_is_space(texts), pc.equal(pc.binary_length(texts), scalar(0))), scalar(True))


def fingerprints(batch: pa.RecordBatch, columns: Sequence[str] = (), salt: str = "") -> pa.Array:
    """16 bytes per row that say what stands in `columns` (all visible ones when none are named).

    They depend on the values only: not on the order of columns or keys, on white space between JSON tokens, or on
    whether a null is written out. Null where every column is null. BLAKE2b, keyed by `salt`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = sorted(name for name in (columns or batch.schema.names) if name in batch.schema.names and name[0] != "_")
    if not names:
        return pa.nulls(batch.num_rows, pa.binary())
    entries = [_entry(name, canonical(batch.column(name))) for name in names]
    joined = entries[0]
    if len(entries) > 1:
        joined = pc.binary_join_element_wise(*(_filled(each, "") for each in entries), scalar(""))
    return _digests(joined.cast(pa.binary()).to_pylist(), hashlib.blake2b(salt.encode(), digest_size=KEY_BYTES))


def _digests(texts: list[bytes | None], start: Any) -> pa.Array:
    """The digest of each text behind what `start` has seen; null where there is none."""
    import pyarrow as pa

    digests = []
    for text in texts:
        if not text:
            return binaries([_digest(start, text) if text else None for text in texts])
        state = start.copy()
        state.update(text)
        digests.append(state.digest())
    offsets = array("i", range(0, KEY_BYTES * len(texts) + 1, KEY_BYTES))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(digests))]
    return pa.Array.from_buffers(pa.binary(), len(texts), buffers)


def canonical(column: pa.Array) -> pa.Array:
    """One text per value that is equal exactly when the values are: "s" and the text, or "j" and sorted JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.string():
        return pc.binary_join_element_wise(scalar("s"), column, scalar(""))
    if column.type == chat.messages_type():
        whole = chat.compact(column)
        return _joined(whole, _canonical_messages(whole))
    if is_json(column.type):
        return strings([canonical_json(text) for text in column.storage.to_pylist()])
    return pc.binary_join_element_wise(scalar("j"), as_text(column), scalar(""))


def map_text(
    batch: pa.RecordBatch,
    function: Callable[..., str],
    *,
    prefilter: Prefilter = None,
    columns: Iterable[str] = (),
    nested: bool = True,
    beyond_ascii: bool = False,
    arrays: Callable[[pa.Array], pa.Array] | None = None,
    whole: bool = False,
) -> pa.RecordBatch:
    """Apply `function` to every text of the chosen columns (all visible ones but `tools` when none are named).

    In messages these are contents and the text parts of contents. `prefilter`, an RE2 pattern or a function, finds the
    texts worth a call. With `nested`, also texts inside JSON values: objects and lists in columns, the arguments of
    tool calls. With `beyond_ascii` no text of ASCII alone is worth one. `arrays` does to an array of texts what
    `function` does to one, with Arrow's kernels. With `whole`, what is not written as a text is one too: keys of nested
    objects, numbers of LONG digits and more, names of who speaks. Columns in which nothing changed are the same objects
    as before.
    """
    change = _Change(function, prefilter, beyond_ascii, arrays, map_whole if whole else map_nested)
    chosen = set(columns) or {name for name in batch.schema.names if name[0] != "_" and name != "tools"}
    for index, name in enumerate(batch.schema.names):
        if name in chosen:
            column = batch.column(index)
            changed = _map_column(column, change, nested or name in columns)
            if changed is not column:
                batch = batch.set_column(index, name, changed)
    return batch


PLAIN = re.compile(
    r"(?:\(\?[is]+\))?(?:[^\\(){}\[\]*+?]|\\[dDwWsSbBnrt]|\\[^\w\s]|\((?!\?)|\(\?:|\)|\[\^?(?:[^\\\[\]&|~-]|\\[dws]|\\[^\w\s]"
    r"|-(?!-))+\]|[*+?]\??(?![*+?{])|\{\d{1,2}(?:,\d{0,2})?\}(?![*+?{]))*"
)
"""Patterns that RE2 reads as Python does."""


def pattern_fault(pattern: str) -> str:
    """Why this is no pattern of RE2, "" when it is one. Arrow is loaded, and asked, for those that are not plain."""
    if PLAIN.fullmatch(pattern):
        try:
            re.compile(pattern)
        except re.error:
            pass  # RE2 says it in its own words
        else:
            return ""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(strings([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return ""


def map_nested(value: Any, function: Callable[[str], str]) -> Any:
    """Apply `function` to every text in nested lists and objects; keys stay."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_nested(entry, function) for key, entry in value.items()}
    if isinstance(value, list):
        return [map_nested(entry, function) for entry in value]
    return value


LONG = 9
"""Digits from which on a number may be a telephone's, an account's or a person's: no shorter one is looked at."""


def map_whole(value: Any, function: Callable[[str], str]) -> Any:
    """`map_nested` for what must not stay anywhere: keys and long numbers are texts too.

    A number is asked about as a text of its digits, then behind its key (`phone: 2125550123`): what is found in it
    takes its place, as a text. Keys that become the same are counted: `[EMAIL]`, `[EMAIL] 2`.
    """
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, entry in value.items():
            named = _unused(function(key), made)
            number = _digits(entry)
            made[named] = map_whole(entry, function) if number is None else _map_number(entry, number, key, function)
        return made
    if isinstance(value, list):
        return [map_whole(entry, function) for entry in value]
    number = _digits(value)
    return map_nested(value, function) if number is None else _map_number(value, number, "", function)


def _unused(key: str, taken: Mapping[str, Any]) -> str:
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key} {number}"
    return free


def _digits(value: Any) -> str | None:
    """A long number as the text of its digits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) < 10 ** (LONG - 1):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value)


def _map_number(value: Any, number: str, key: str, function: Callable[[str], str]) -> Any:
    after = function(number)
    if after == number and key:
        before = f"{key}: "
        after = function(before + number)
        # What is found in the key alone is not the number's.
        after = after[len(before) :] if after.startswith(before) else number
    return value if after == number else after


class _Change(NamedTuple):
    """What is done to texts, and to which."""

    function: Callable[..., str]
    prefilter: Prefilter
    beyond_ascii: bool
    arrays: Callable[[pa.Array], pa.Array] | None
    walk: Callable[[Any, Callable[[str], str]], Any]
    """What is done to values that hold texts: `map_nested` or `map_whole`."""

    @property
    def whole(self) -> bool:
        return self.walk is map_whole


def _map_column(column: pa.Array, change: _Change, nested: bool) -> pa.Array:
    import pyarrow as pa

    if column.type == pa.string():
        return _map_strings(column, change)
    if is_json(column.type):
        return _map_json(column, change, nested)
    if column.type == chat.messages_type():
        return _map_messages(column, change, nested)
    if change.whole and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return map_numbers(column, lambda _, number: map_whole(number, change.function))
    return column


def map_numbers(column: pa.Array, change: Callable[[int, Any], Any]) -> pa.Array:
    """A column of numbers with `change(place, number)` for each long one: as texts where all are, else as JSON."""
    import pyarrow.compute as pc

    long = pc.greater_equal(pc.abs(column.cast("float64", safe=False)), scalar(float(10 ** (LONG - 1))))
    places = pc.indices_nonzero(pc.coalesce(long, scalar(False))).to_pylist()
    if not places:
        return column
    before = column.to_pylist()
    after = list(before)
    for place in places:
        after[place] = change(place, before[place])
    if after == before:
        return column
    if all(value is None or isinstance(value, str) for value in after):
        return strings(after)
    return json_texts([None if value is None else to_json(value) for value in after])


def _map_strings(texts: pa.Array, change: _Change) -> pa.Array:
    import pyarrow.compute as pc

    if texts.null_count == len(texts):
        return texts
    if callable(change.prefilter):
        return map_marked(texts, change.prefilter(texts), lambda _, text, mark: change.function(text, mark))
    mask = _worth(texts, change)
    hits = texts if mask.true_count == len(texts) else texts.filter(mask)
    if len(hits) == 0:
        return texts
    after = change.arrays(hits) if change.arrays else strings([change.function(text) for text in hits.to_pylist()])
    if after.equals(hits):
        return texts
    return after if hits is texts else pc.replace_with_mask(texts, mask, after)


def _worth(texts: pa.Array, change: _Change) -> pa.Array:
    """Which texts are worth a call."""
    import pyarrow.compute as pc

    if change.beyond_ascii:
        beyond = pc.invert(pc.coalesce(pc.string_is_ascii(texts), scalar(True)))
        found = _worth(texts.filter(beyond), change._replace(beyond_ascii=False))
        return pc.replace_with_mask(beyond, beyond, found)
    found = pc.is_valid(texts) if change.prefilter is None else pc.match_substring_regex(texts, change.prefilter)
    return pc.coalesce(found, scalar(False))


def map_marked(texts: pa.Array, marks: Mapping[int, int], change: Callable[[int, str, int], str]) -> pa.Array:
    """`change(place, text, mark)` for each of the marked places; the same array when that changes nothing."""
    import pyarrow.compute as pc

    places = list(marks)
    changed = bytearray(len(texts))
    after: list[str] = []
    for place, text in zip(places, texts.take(integers(places)).to_pylist(), strict=True):
        made = change(place, text, marks[place])
        if made != text:
            changed[place] = 1
            after.append(made)
    return pc.replace_with_mask(texts, flags(changed), strings(after)) if after else texts


def _map_json(column: pa.Array, change: _Change, nested: bool) -> pa.Array:
    def changed_value(value: Any) -> Any:
        return change.walk(value, change.function) if nested or isinstance(value, str) else value

    after = _change_json(column.storage, change, changed_value)
    return column if after is column.storage else json_texts(after.to_pylist())


def _map_messages(column: pa.Array, change: _Change, nested: bool) -> pa.Array:
    function, walk = change.function, change.walk
    before = chat.children(column)
    after = {
        "content": _map_strings(before["content"], change),
        "parts": _change_json(before["parts"], change, lambda parts: [map_part(part, function) for part in parts]),
    }
    if nested:
        after["tool_calls"] = _change_json(
            before["tool_calls"], change, lambda calls: [map_call(call, function, walk) for call in calls]
        )
    if change.whole:
        after["name"] = _map_strings(before["name"], change)
        after["extra"] = _change_json(before["extra"], change, lambda extra: walk(extra, function))
    return chat.with_children(column, {name: child for name, child in after.items() if child is not before[name]})


def _change_json(texts: pa.Array, change: _Change, decoded: Callable[[Any], Any]) -> pa.Array:
    """Each JSON text decoded, changed and encoded; the same array when that changes nothing."""
    import pyarrow.compute as pc

    if texts.null_count == len(texts):
        return texts
    mask = _holds_more_than_ascii(texts) if change.beyond_ascii else texts.is_valid()
    before = texts.filter(mask)
    after = strings([changed(text, decoded) for text in before.to_pylist()])
    return texts if after.equals(before) else pc.replace_with_mask(texts, mask, after)


def _holds_more_than_ascii(texts: pa.Array) -> pa.Array:
    """Whether a JSON text may be of a value with a character beyond ASCII: it may be escaped."""
    import pyarrow.compute as pc

    more = pc.or_(pc.invert(pc.string_is_ascii(texts)), pc.match_substring_regex(texts, r"\\u"))
    return pc.coalesce(more, scalar(False))


def changed(text: str, change: Callable[[Any], Any]) -> str:
    """A JSON text with its value changed; as it was, white space and all, where that changes nothing."""
    before = decode(text)
    after = change(before)
    return text if after == before else to_json(after)


def map_part(part: Any, function: Callable[[str], str]) -> Any:
    """One part of a message's content, its text changed."""
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return {**part, "text": function(part["text"])}
    return part


def map_call(
    call: Any, function: Callable[[str], str], walk: Callable[[Any, Callable[[str], str]], Any] = map_nested
) -> Any:
    """A tool call with the texts of its arguments changed, be they an object or the JSON text of one.

    `walk` is `map_nested` or `map_whole`.
    """
    inner = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or "arguments" not in inner:
        return call
    return {**call, "function": {**inner, "arguments": _map_arguments(inner["arguments"], function, walk)}}


def _map_arguments(
    arguments: Any, function: Callable[[str], str], walk: Callable[[Any, Callable[[str], str]], Any]
) -> Any:
    if not isinstance(arguments, str):
        return walk(arguments, function)
    try:
        before = decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return function(arguments)
    if chat.is_deep(before):
        return function(arguments)
    after = walk(before, function)
    return arguments if after == before else to_json(after)


def contents(messages: pa.Array) -> pa.Array:
    """The text of each flat message; the texts of its parts, one per line, where it has parts."""
    import pyarrow.compute as pc

    fields = chat.children(messages)
    if fields["parts"].null_count == len(fields["parts"]):
        return fields["content"]
    joined = strings([None if text is None else _text_of_parts(decode(text)) for text in fields["parts"].to_pylist()])
    return pc.coalesce(fields["content"], joined)


def _text_of_parts(parts: list[Any]) -> str:
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def _has_silent_message(messages: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    fields = chat.children(messages)
    silent = pc.and_(pc.is_null(fields["parts"]), pc.is_null(fields["tool_calls"]))
    some = any_message(messages, pc.and_(_is_blank(fields["content"]), silent))
    none = pc.equal(pc.coalesce(messages.value_lengths(), scalar(0)), scalar(0))
    return pc.or_(some, none)


def any_message(messages: pa.Array, mask: pa.Array) -> pa.Array:
    """Whether a row has a message for which `mask`, one value per flat message, is true."""
    found = bytearray(len(messages))
    for row in chat.parents(messages).filter(mask).to_pylist():
        found[row] = 1
    return flags(found)


def _listed(messages: pa.Array, values: pa.Array) -> pa.Array:
    """Flat values, one per message, as one list per row."""
    import pyarrow as pa

    whole = chat.compact(messages)
    return pa.Array.from_buffers(pa.list_(pa.string()), len(whole), whole.buffers()[:2], children=[values])


def _joined(lists: pa.Array, texts: pa.Array) -> pa.Array:
    """The texts of each list as one: they lie one behind the other, so only the bounds are new."""
    import pyarrow as pa

    validity, zeros = lists.buffers()[:2]
    if len(texts) == 0:
        return pa.Array.from_buffers(pa.string(), len(lists), [validity, zeros, pa.py_buffer(b"")])
    ends = pa.Array.from_buffers(pa.int32(), len(texts) + 1, [None, texts.buffers()[1]]).take(lists.offsets)
    return pa.Array.from_buffers(pa.string(), len(lists), [validity, ends.buffers()[1], texts.buffers()[2]])


def _canonical_messages(messages: pa.Array) -> pa.Array:
    """Each field's netstring, or "-", of each message. Arrow copies all of it once."""
    import pyarrow.compute as pc

    fields = chat.children(messages)
    for name in JSON_CHILDREN:
        if fields[name].null_count < len(fields[name]):
            fields[name] = strings([canonical_json(text) for text in fields[name].to_pylist()])
    pieces: list[pa.Array | str] = []
    for name in chat.FIELDS:
        child = fields[name]
        if name != "role" and child.null_count == len(child):
            pieces.append("-")
        elif child.null_count:
            pieces.append(_filled(_netstring(child.cast("string")), "-"))
        else:
            pieces += _pieces(child.cast("string"))
    together = (list(each) for _, each in groupby(pieces, key=lambda piece: isinstance(piece, str)))
    parts = [[scalar("".join(each))] if isinstance(each[0], str) else each for each in together]
    return pc.binary_join_element_wise(*(piece for each in parts for piece in each), scalar(""))


def _entry(name: str, texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    length, colon, text = _pieces(texts)
    return pc.binary_join_element_wise(scalar(f"{len(name.encode())}:{name}"), length, scalar(colon), text, scalar(""))


def _netstring(texts: pa.Array) -> pa.Array:
    """`length:text`: joined ones cannot be cut in two ways."""
    import pyarrow.compute as pc

    length, colon, text = _pieces(texts)
    return pc.binary_join_element_wise(length, text, scalar(colon))


def _pieces(texts: pa.Array) -> tuple[pa.Array, str, pa.Array]:
    """What a netstring is made of."""
    import pyarrow.compute as pc

    return pc.binary_length(texts).cast("string"), ":", texts


def _filled(texts: pa.Array, filler: str) -> pa.Array:
    """With `filler` for nulls."""
    import pyarrow.compute as pc

    return pc.coalesce(texts, scalar(filler)) if texts.null_count else texts


def canonical_json(text: str | None) -> str | None:
    """A JSON text as `canonical` has it."""
    if text is None:
        return None
    value = decode(text)
    return f"s{value}" if isinstance(value, str) else f"j{msgspec.json.encode(value, order='sorted').decode()}"


def _unquoted(text: str | None) -> str | None:
    return decode(text) if text is not None and text.startswith('"') else text


def _digest(start: Any, text: bytes) -> bytes:
    state = start.copy()
    state.update(text)
    digest: bytes = state.digest()
    return digest
