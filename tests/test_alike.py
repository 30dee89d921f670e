"""Columns are compared child by child; the answer is that of comparing canonical texts."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftspec import rows
from ftspec.data.cleaning import changes
from ftspec.layout import chat
from ftspec.layout.alike import differ
from ftspec.layout.arrays import undictionaried, without
from ftspec.layout.canonical import canonical
from ftspec.layout.textmaps import Change, mapped

TEXT = st.sampled_from(["", "a", "b", " a"])
CALLS = [[{"a": 1, "b": 2}], [{"b": 2, "a": 1}], [{"a": 1}], []]
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"])},
    optional={
        "content": st.none() | TEXT | st.just([{"type": "text", "text": "a"}]),
        "name": TEXT,
        "tool_calls": st.sampled_from(CALLS),
        "weight": st.sampled_from([0, 1, 0.5]),
        "x": st.integers(0, 1),
    },
)
VALUES = {
    "messages": st.none() | st.lists(MESSAGE, max_size=3),
    "text": st.none() | TEXT,
    "number": st.none() | st.integers(0, 2),
    "any": st.none() | TEXT | st.integers(0, 2) | st.sampled_from(CALLS),
}
PAIRS = {name: st.lists(st.tuples(value, value), min_size=1, max_size=4) for name, value in VALUES.items()}


def by_canonical(old: pa.Array, new: pa.Array) -> list[bool]:
    pair = [pc.coalesce(canonical(each), rows.scalar("")) for each in (old, new)]
    differs: list[bool] = pc.not_equal(*pair).to_pylist()
    return differs


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PAIRS)).flatmap(lambda name: st.tuples(st.just(name), PAIRS[name])), st.booleans())
def test_the_same_as_comparing_canonical_texts(given: tuple[str, list[tuple[Any, Any]]], some: bool) -> None:
    name, pairs = given
    old = rows.cell(name, [one for one, _ in pairs])
    new = rows.cell(name, [one if some and at else other for at, (one, other) in enumerate(pairs)])
    found = differ(old, new)
    assert (found.to_pylist() if found is not None else [False] * len(old)) == by_canonical(old, new)


ROWS = st.lists(
    st.fixed_dictionaries({name: values for name, values in VALUES.items() if name != "number"}), min_size=1, max_size=4
)
PREFILTERS = st.sampled_from(
    [None, "a", lambda texts: dict.fromkeys([at for at in range(0, len(texts), 2) if texts[at].is_valid], 0)]
)


@settings(max_examples=150, deadline=None)
@given(ROWS, PREFILTERS, st.booleans(), st.booleans(), st.booleans())
def test_a_step_that_knows_what_it_changed_says_what_comparing_would(
    values: list[dict[str, Any]], prefilter: Any, by_arrays: bool, whole: bool, nested: bool
) -> None:
    before = rows.from_dicts(values)
    arrays = pc.utf8_trim_whitespace if by_arrays and not callable(prefilter) else None
    change = Change(lambda text, mark=0: text.strip(), prefilter, False, arrays, whole)
    after, known = mapped(before, change, [], nested)
    assert known is None or known.to_pylist() == changes(before, after).to_pylist()


def test_of_messages_and_texts_it_is_known() -> None:
    said = [["a", " a"], [" a", " a "], [], ["a"]]
    before = rows.from_dicts(
        [
            {"messages": [{"role": "user", "content": text} for text in texts], "text": " b" * (2 - len(texts))}
            for texts in said
        ]
    ).slice(1)
    change = Change(str.strip, None, False, None, True)
    assert mapped(before, change, [], True)[1].to_pylist() == [0, 1, 2]
    assert mapped(before, change, ["messages"], True)[1].to_pylist() == [0]
    assert mapped(before.slice(2), change, ["messages"], True)[1].to_pylist() == []


def test_slices_of_one_array_are_no_equal_ones() -> None:
    texts, numbers = rows.strings(["a", "a", "b"]), rows.integers([1, 1, 2])
    for column in (texts, numbers):
        assert differ(column.slice(0, 2), column.slice(0, 2)) is None
        found = differ(column.slice(0, 2), column.slice(1))
        assert found is not None and found.to_pylist() == [False, True]


def test_an_empty_buffer_and_none_are_no_fault() -> None:
    """Of no message at all, Arrow makes either; an empty buffer is false, and not to be compared with None."""
    none = pa.array([], pa.string())
    empty = none.take(pa.array([], pa.int64()))
    assert [each.buffers()[0] is None for each in (none, empty)] == [True, False]
    assert differ(none, empty) is None and differ(empty, none) is None


def test_rows_of_a_slice_and_white_space_in_json() -> None:
    made = chat.to_array([[{"role": "user", "content": "a"}], [], None, [{"role": "tool", "tool_calls": [{"a": 1}]}]])
    calls = chat.children(made)["tool_calls"]
    spaced = chat.with_children(made, {"tool_calls": rows.strings([None, '[ {"a" : 1} ]'])})
    assert not calls.equals(chat.children(spaced)["tool_calls"])
    assert differ(made.slice(1), spaced.slice(1)).to_pylist() == [False, False, False]
    other = chat.with_children(made, {"content": rows.strings(["a", ""])})
    assert differ(made.slice(1), other.slice(1)).to_pylist() == [False, False, True]
    assert differ(made, made) is None


def test_numbers_for_numpy_do_not_bring_pandas() -> None:
    code = (
        "import sys; from ftspec.layout.arrays import as_numpy, booleans, integers\n"
        "assert as_numpy(integers([1, 2, 3]).slice(1)).tolist() == [2, 3]\n"
        "assert as_numpy(booleans([True, False, True]).slice(1)).tolist() == [False, True]\n"
        "assert as_numpy(integers([])).tolist() == []\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 299), max_size=6), st.integers(0, 3))
@example({0, 299}, 0)
@example(set(range(300)), 0)
def test_without_some_rows_however_few(gone: set[int], first: int) -> None:
    said = [[{"role": "user", "content": f"{number}"}] if number % 7 else None for number in range(300)]
    batch = rows.from_dicts([{"messages": each, "any": number or {}} for number, each in enumerate(said)]).slice(first)
    mask = rows.booleans([number in gone for number in range(300)]).slice(first)
    assert without(batch, mask).equals(batch.filter(pc.invert(mask)))


def test_dictionaries_within_other_types() -> None:
    inside = pa.dictionary(pa.int32(), pa.string())
    types = [
        inside,
        pa.list_(pa.field("element", inside, nullable=False)),
        pa.large_list(inside),
        pa.list_(inside, 2),
        pa.struct([("a", inside), ("b", pa.int64())]),
        pa.map_(pa.string(), inside),
        pa.list_(pa.field("item", pa.int64(), nullable=False)),
    ]
    values: list[object] = ["x", ["x", "y"], ["x"], ["x", "y"], {"a": "x", "b": 1}, [("k", "x")], [1]]
    arrays = [
        pa.array([value], type_) if type_ != inside else pa.array([value]).cast(inside)
        for type_, value in zip(types, values, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names=[str(n) for n in range(len(types))])
    plain = undictionaried(batch)
    assert plain.to_pylist() == batch.to_pylist()
    assert "dictionary" in str(batch.schema) and "dictionary" not in str(plain.schema)
    assert plain.schema.types[-1] == types[-1]
