"""A function applied to every text of a batch: Arrow finds the texts worth a call, Python sees only those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.common.faults import kind_of
from ftspec.layout import chat
from ftspec.layout.arrays import integers, is_json, json_texts, scalar, strings, with_texts
from ftspec.layout.chat import to_json
from ftspec.layout.nested import LONG, changed, map_call, map_entry, map_nested, map_part, map_value, map_whole
from ftspec.layout.rowcolumns import visible

if TYPE_CHECKING:
    import pyarrow as pa

Prefilter = str | Callable[["pa.Array"], Mapping[int, int]] | None
"""Which texts are worth a call: those that an RE2 pattern finds, or those that a function of an array of texts names by
place, in order, each with a number that the step's function gets as its second argument."""


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
    return mapped(batch, Change(function, prefilter, beyond_ascii, arrays, whole), columns, nested)[0]


class Change(NamedTuple):
    """What is done to texts, and to which: see `map_text`."""

    function: Callable[..., str]
    prefilter: Prefilter
    beyond_ascii: bool
    arrays: Callable[[pa.Array], pa.Array] | None
    whole: bool

    @property
    def walk(self) -> Callable[[Any, Callable[[str], str]], Any]:
        """What is done to values that hold texts."""
        return map_whole if self.whole else map_nested


class Mapped(NamedTuple):
    """An array after a change: the same object as before where nothing changed."""

    array: pa.Array
    places: Sequence[int] | None
    """Where values are others now; None where that is not known."""


def mapped(
    batch: pa.RecordBatch, change: Change, columns: Iterable[str], nested: bool
) -> tuple[pa.RecordBatch, pa.Array | None]:
    """`map_text`, and the places of the rows that it changed, rising; None where those are not known."""
    chosen = set(columns) or {name for name in visible(batch) if name != "tools"}
    found: list[Sequence[int] | None] = []
    for index, name in enumerate(batch.schema.names):
        if name in chosen:
            column = batch.column(index)
            after, places = _map_column(name, column, change, nested or name in columns)
            if after is not column:
                batch = batch.set_column(index, name, after)
                found.append(places)
    places = _united(found)
    return batch, None if places is None else integers(places)


def _united(found: Sequence[Sequence[int] | None]) -> Sequence[int] | None:
    """All places, rising; None where some are not known."""
    if len(found) == 1:
        return found[0]
    known = [places for places in found if places is not None]
    return sorted(set().union(*known)) if len(known) == len(found) else None


def _map_column(name: str, column: pa.Array, change: Change, nested: bool) -> Mapped:
    import pyarrow as pa

    if column.type == pa.string():
        return _map_strings(column, change)
    if is_json(column.type):
        return Mapped(_map_json(name, column, change, nested), None)
    if column.type == chat.messages_type():
        return _map_messages(column, change, nested)
    if change.whole and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return Mapped(map_numbers(column, lambda _, number: map_entry(name, number, change.function)), None)
    return Mapped(column, ())


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


def _map_strings(texts: pa.Array, change: Change) -> Mapped:
    import pyarrow.compute as pc

    if texts.null_count == len(texts):
        return Mapped(texts, ())
    if change.arrays:
        return _by_arrays(texts, change, change.arrays)
    if callable(change.prefilter):
        marked = Marked(texts, change.prefilter(texts))
        return marked.put(list(map(change.function, marked.texts, marked.marks)))
    marked = Marked(texts, dict.fromkeys(pc.indices_nonzero(_worth(texts, change)).to_pylist(), 0))
    return marked.put(list(map(change.function, marked.texts)))


def _by_arrays(texts: pa.Array, change: Change, arrays: Callable[[pa.Array], pa.Array]) -> Mapped:
    import pyarrow.compute as pc

    mask = _worth(texts, change)
    hits = texts if mask.true_count == len(texts) else texts.filter(mask)
    after = arrays(hits)
    if after.equals(hits):
        return Mapped(texts, ())
    places = pc.indices_nonzero(mask).filter(pc.not_equal(after, hits)).to_pylist()
    return Mapped(after if hits is texts else pc.replace_with_mask(texts, mask, after), places)


def _worth(texts: pa.Array, change: Change) -> pa.Array:
    """Which texts are worth a call."""
    import pyarrow.compute as pc

    if change.beyond_ascii:
        beyond = pc.invert(pc.coalesce(pc.string_is_ascii(texts), scalar(True)))
        found = _worth(texts.filter(beyond), change._replace(beyond_ascii=False))
        return pc.replace_with_mask(beyond, beyond, found)
    found = pc.is_valid(texts) if change.prefilter is None else pc.match_substring_regex(texts, change.prefilter)
    return pc.coalesce(found, scalar(False))


class Marked:
    """The marked ones of an array of texts, in order: their places, texts and marks."""

    def __init__(self, array: pa.Array, marks: Mapping[int, int]) -> None:
        self.array = array
        self.places = sorted(marks)  # `with_texts` trusts in it: a plugin's prefilter may tell them in any order
        self.texts: list[str] = array.take(integers(self.places)).to_pylist()
        self.marks = [marks[place] for place in self.places]

    def put(self, after: Sequence[str]) -> Mapped:
        """The array with these texts in their places."""
        others = [at for at, (old, new) in enumerate(zip(self.texts, after, strict=True)) if old != new]
        for at in others:
            if not isinstance(after[at], str):
                raise TypeError(f"its function returned {kind_of(after[at])}; a text is wanted")
        places = [self.places[at] for at in others]
        return Mapped(with_texts(self.array, places, [after[at] for at in others]), places)


def _map_json(name: str, column: pa.Array, change: Change, nested: bool) -> pa.Array:
    def changed_value(value: Any) -> Any:
        if not nested and not isinstance(value, str):
            return value
        return map_value(name, value, change.function, change.walk)

    after = _change_json(column.storage, change, changed_value)
    return column if after is column.storage else json_texts(after.to_pylist())


def _map_messages(column: pa.Array, change: Change, nested: bool) -> Mapped:
    function, walk = change.function, change.walk
    before = chat.children(column)
    texts = {"content": _map_strings(before["content"], change)}
    others = {
        "parts": _change_json(before["parts"], change, lambda parts: [map_part(part, function) for part in parts]),
    }
    if nested:
        others["tool_calls"] = _change_json(
            before["tool_calls"], change, lambda calls: [map_call(call, function, walk) for call in calls]
        )
    if change.whole:
        texts["name"] = _map_strings(before["name"], change)
        others["extra"] = _change_json(before["extra"], change, lambda extra: walk(extra, function))
    after = {**{name: each.array for name, each in texts.items()}, **others}
    after = {name: child for name, child in after.items() if child is not before[name]}
    flat = _united([texts[name].places if name in texts else None for name in after])
    rows = flat and chat.parents(column).take(integers(flat)).unique().to_pylist()  # the flat ones rise, so these do
    return Mapped(chat.with_children(column, after), rows)


def _change_json(texts: pa.Array, change: Change, decoded: Callable[[Any], Any]) -> pa.Array:
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
