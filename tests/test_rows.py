"""Rows in Arrow: values survive the way in and out, texts are found wherever they stand."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import rows
from ftspec.common.errors import FtspecError
from ftspec.layout import arrays, chat
from ftspec.layout.arrays import strings, with_texts
from ftspec.layout.canonical import JSON_CHILDREN, canonical, canonical_json
from ftspec.layout.textmaps import Marked
from ftspec.rows import MESSAGES

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "text", "ü"])
MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "name", "tool_calls", "weight", "other"]), JSON, max_size=4
)
ROW = st.dictionaries(NAMES, JSON, max_size=3)
CHAT_ROW = st.fixed_dictionaries({"messages": st.none() | st.lists(MESSAGE, max_size=3)})


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


@given(st.lists(ROW, min_size=1, max_size=6))
def test_values_survive(values: list[dict[str, Any]]) -> None:
    batch = rows.from_dicts([{**value, "anchor": 1} for value in values])
    back = rows.to_dicts(batch)
    assert back == [{**without_nulls(value), "anchor": 1} for value in values]
    assert [[type(v) for v in row.values()] for row in back] == [[type(row[name]) for name in row] for row in back]


@given(st.lists(CHAT_ROW, min_size=1, max_size=5), st.data())
def test_messages_survive_also_in_slices(values: list[dict[str, Any]], data: st.DataObject) -> None:
    array = chat.to_array([value["messages"] for value in values])
    array.validate(full=True)
    start = data.draw(st.integers(0, len(values)))
    for part, rest in ((array, values), (array.slice(start), values[start:])):
        said = [None if v["messages"] is None else [without_nulls(m) for m in v["messages"]] for v in rest]
        whole = chat.compact(part)
        whole.validate(full=True)
        assert chat.to_lists(part) == chat.to_lists(whole) == said
        same = chat.with_children(part, {"content": chat.children(part)["content"]})
        assert chat.to_lists(same) == said


@given(st.lists(ROW, min_size=2, max_size=6), st.integers(1, 5))
def test_fingerprints_do_not_depend_on_the_batch(values: list[dict[str, Any]], at: int) -> None:
    whole = rows.fingerprints(rows.from_dicts([{**v, "k": "k"} for v in values]), salt="s").to_pylist()
    cut = [
        key
        for part in (values[:at], values[at:])
        if part
        for key in rows.fingerprints(rows.from_dicts([{"k": "k", **v} for v in part]), salt="s").to_pylist()
    ]
    assert whole == cut
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            if without_nulls(one) == without_nulls(other) and repr(one) == repr(other):
                assert whole[i] == whole[j]


@settings(deadline=None)
@given(st.lists(CHAT_ROW, min_size=1, max_size=5), st.data())
def test_fingerprints_of_messages_are_those_of_their_netstrings(
    values: list[dict[str, Any]], data: st.DataObject
) -> None:
    array = chat.to_array([value["messages"] for value in values])
    start = data.draw(st.integers(0, len(values)))
    for part in (array, array.slice(start)):
        flat = list(zip(*(child.cast("string").to_pylist() for child in chat.children(part).values()), strict=True))
        said = iter(["".join(_netstring(*field) for field in zip(chat.FIELDS, each, strict=True)) for each in flat])
        counts = part.value_lengths().to_pylist()
        joined = [None if count is None else "".join(next(said) for _ in range(count)) for count in counts]
        whole = canonical(part)
        whole.validate(full=True)
        assert whole.to_pylist() == joined
        entries = [None if text is None else f"3:äm{len(text.encode())}:{text}" for text in joined]
        keys = rows.fingerprints(pa.RecordBatch.from_arrays([part], names=["äm"]), salt="s").to_pylist()
        assert keys == [
            None if each is None else blake2b(b"s" + each.encode(), digest_size=16).digest() for each in entries
        ]


@settings(deadline=None)
@given(st.lists(st.builds(dict.__or__, ROW, CHAT_ROW | st.just({})), min_size=1, max_size=8), st.data())
def test_equal_keys_are_equal_where_fingerprints_are(values: list[dict[str, Any]], data: st.DataObject) -> None:
    values += data.draw(st.lists(st.sampled_from(values), max_size=3))
    columns = data.draw(st.just([]) | st.lists(NAMES, min_size=1))
    start = data.draw(st.integers(0, len(values)))
    batch = rows.from_dicts([{"_hidden": at, **value} for at, value in enumerate(values)])
    keys = [*_keys(batch.slice(0, start), columns), *_keys(batch.slice(start), columns)]
    prints = rows.fingerprints(batch, columns).to_pylist()
    for one, first in zip(keys, prints, strict=True):
        assert (one is None) == (first is None)
        assert [one == each for each in keys] == [first == each for each in prints]


def _keys(batch: pa.RecordBatch, columns: list[str]) -> list[bytes | None]:
    keys = rows.equal_keys(batch, columns)
    keys.validate(full=True)
    found: list[bytes | None] = keys.to_pylist()
    return found


def _netstring(field: str, text: str | None) -> str:
    if text is None:
        return "-"
    text = canonical_json(text) or "" if field in JSON_CHILDREN else text
    return f"{len(text.encode())}:{text}"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": "1"}, {"a": 1}, False),
        ({"a": "x", "b": None}, {"a": "x"}, True),
        ({"a": {"p": 1, "q": 2}}, {"a": {"q": 2, "p": 1}}, True),
        ({"a": ["1", "2"]}, {"a": ["2", "1"]}, False),
        ({"a": "b", "b": ""}, {"a": "", "b": "b"}, False),
        ({"a": "1:sx"}, {"a": "x"}, False),
        ({"messages": [{"role": "user", "content": "a"}]}, {"messages": [{"content": "a", "role": "user"}]}, True),
        ({"messages": [{"role": "user", "content": "ab"}]}, {"messages": [{"role": "usera", "content": "b"}]}, False),
        ({"messages": [{"role": "u"}, {"role": "v"}]}, {"messages": [{"role": "u"}]}, False),
    ],
)
def test_fingerprints_say_what_is_equal(one: dict[str, Any], other: dict[str, Any], equal: bool) -> None:
    keys = [rows.fingerprints(rows.from_dicts([row]))[0].as_py() for row in (one, other)]
    assert (keys[0] == keys[1]) is equal
    quick = [rows.equal_keys(rows.from_dicts([row]))[0].as_py() for row in (one, other)]
    assert (quick[0] == quick[1]) is equal
    assert rows.fingerprints(rows.from_dicts([one]), salt="other")[0].as_py() != keys[0]


def test_a_column_may_have_an_empty_name() -> None:
    batch = rows.from_dicts([{"": " x ", "a": " y "}, {"": " x ", "a": " z "}])
    assert rows.to_dicts(rows.map_text(batch, str.strip)) == [{"": "x", "a": "y"}, {"": "x", "a": "z"}]
    keys = rows.fingerprints(batch).to_pylist()
    assert keys[0] != keys[1]
    assert keys[0] != rows.fingerprints(rows.from_dicts([{"a": " y "}]))[0].as_py()
    mapped = rows.map_text_by_row(batch, lambda row: lambda text: f"{row}{text.strip()}")
    assert rows.to_dicts(mapped) == [{"": "0x", "a": "0y"}, {"": "1x", "a": "1z"}]


def test_one_batch_or_two_make_no_difference_to_texts() -> None:
    mixed = rows.from_dicts([{"a": " x "}, {"a": 1}, {"a": [" y "]}])
    assert rows.is_json(mixed.column("a").type)
    assert rows.to_dicts(rows.map_text(mixed, str.strip)) == [{"a": "x"}, {"a": 1}, {"a": ["y"]}]
    assert rows.to_dicts(rows.map_text(mixed, str.strip, nested=False)) == [{"a": "x"}, {"a": 1}, {"a": [" y "]}]
    assert rows.as_text(mixed.column("a")).to_pylist() == [" x ", "1", '[" y "]']


def test_texts_in_messages() -> None:
    def call(arguments: Any) -> dict[str, Any]:
        return {"id": "hot", "type": "function", "function": {"name": "hot", "arguments": arguments}}

    batch = rows.from_dicts(
        [
            {
                "messages": [
                    {
                        "role": "user",
                        "name": "hot",
                        "content": [{"type": "text", "text": "hot"}, {"type": "image_url"}],
                    },
                    {
                        "role": "assistant",
                        "tool_calls": [call('{"q": "hot", "n": 1}'), call({"q": ["hot"]}), call("hot")],
                    },
                    {"role": "tool", "tool_call_id": "hot", "content": "so hot"},
                ],
                "tools": [{"function": {"name": "hot"}}],
            }
        ]
    )
    after = rows.map_text(batch, lambda text: text.replace("hot", "cold"), prefilter="hot")
    (row,) = rows.to_dicts(after)
    user, assistant, tool = row["messages"]
    assert user == {"role": "user", "name": "hot", "content": [{"type": "text", "text": "cold"}, {"type": "image_url"}]}
    assert [each["function"] for each in assistant["tool_calls"]] == [
        {"name": "hot", "arguments": '{"q":"cold","n":1}'},
        {"name": "hot", "arguments": {"q": ["cold"]}},
        {"name": "hot", "arguments": "cold"},
    ]
    assert tool["content"] == "so cold"
    assert row["tools"] == [{"function": {"name": "hot"}}]
    assert rows.to_dicts(batch)[0]["messages"][2]["content"] == "so hot"


def test_nothing_found_copies_nothing() -> None:
    batch = rows.from_dicts([{"a": "x", "messages": [{"role": "user", "content": "y"}]}])
    assert rows.map_text(batch, str.upper, prefilter="@") is batch


def test_examples_leave_out_what_a_message_should_not_have() -> None:
    batch = rows.from_dicts([{"messages": [{"role": "user", "content": "a", "timestamp": 3}]}, {"messages": None}])
    first, second = rows.examples(batch)
    assert [m.content for m in first.messages] == ["a"]
    assert second.messages == []


def test_pair_writes_the_legacy_shape() -> None:
    def shape(*said: tuple[str, Any]) -> Any:
        (example,) = rows.examples(rows.from_dicts([{"messages": [{"role": r, "content": c} for r, c in said]}]))
        return rows.pair(example)

    assert shape(("user", "q"), ("assistant", "a")) == {"prompt": "q", "completion": "a"}
    assert shape(("system", "s"), ("user", "q"), ("assistant", "a")) == {"prompt": "s\n\nq", "completion": "a"}
    assert shape(("user", "q"), ("assistant", "a"), ("user", "q"), ("assistant", "a")) is None
    assert shape(("user", [{"type": "text", "text": "q"}]), ("assistant", "a")) is None


def test_conform_takes_any_arrow_type() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "day": [datetime.date(2026, 1, 2), None],
            "price": [decimal.Decimal("1.50"), decimal.Decimal("2.00")],
            "small": pa.array([1, 2], pa.int8()),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "nested": [{"a": 1, "b": None}, None],
            "raw": [b"ab", None],
            "messages": [[{"role": "user", "content": "q"}], None],
        }
    )
    made, faults = rows.conform(batch)
    assert faults == []
    assert made.schema.field("messages").type == MESSAGES
    assert rows.to_dicts(made) == [
        {
            "day": "2026-01-02", "price": "1.50", "small": 1, "kind": "x", "nested": {"a": 1}, "raw": "ab",
            "messages": [{"role": "user", "content": "q"}],
        },
        {"price": "2.00", "small": 2, "kind": "y"},
    ]  # fmt: skip
    assert rows.conform(made)[0] is made


def test_messages_stay_what_they_are_beside_what_does_not_conform() -> None:
    """`json.dumps(None)` in the place of tools: parts of contents became a key `parts`, and the contents were gone."""
    said = [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "a", "x": 1}]
    values = [{"messages": said, "tools": "null"}, {"messages": said, "tools": [{"type": "function"}]}]
    made = rows.from_dicts(values)
    assert made.column("tools").null_count == 1
    odd = made.set_column(1, "tools", rows.strings(["null", "[]"]))
    for batch in (made, odd):
        after, faults = rows.conform(batch)
        assert ([row["messages"] for row in rows.to_dicts(after)], faults) == ([said, said], [])


@pytest.mark.parametrize("other", [pa.array(["a", "b", "c"]), pa.array([1, 2, 3], pa.int8())])
def test_numbers_that_json_has_not_are_missing(other: pa.Array) -> None:
    """Whichever type another column has: that of `f` alone would let the batch pass as it is."""
    numbers = pa.array([float("nan"), 1.5, float("-inf")])
    made, faults = rows.conform(pa.RecordBatch.from_arrays([other, numbers], names=["o", "f"]))
    assert (made.column("f").to_pylist(), made.schema.field("f").type, faults) == ([None, 1.5, None], pa.float64(), [])
    assert rows.from_dicts([{"f": float("inf")}, {"f": 1.5}, {"f": 2}]).column("f").null_count == 1


def test_conform_names_rows_that_do_not_fit() -> None:
    batch = rows.strings(["[]", "no", '[{"role": "user"}]'])
    made, faults = rows.conform(pa.RecordBatch.from_arrays([batch], names=["messages"]))
    assert faults == [(1, "'messages' must be a list of messages, not text")]
    assert rows.to_dicts(made) == [{"messages": []}, {"messages": [{"role": "user"}]}]


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (3, "must be an object"),
        ({"_row": 1}, "ftspec's own"),
        ({"messages": "hi"}, "must be a list of messages, not text"),
        ({"messages": [1]}, "message 1 must be an object"),
        ({"tools": {"a": 1}}, "'tools' must be a list"),
        ({"messages": None, "_x": 1}, ""),
    ],
)
def test_fault(value: Any, part: str) -> None:
    assert part in rows.fault(value)
    assert bool(part) is bool(rows.fault(value))


@given(
    st.lists(st.booleans() | st.none(), max_size=20),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=20),
)
def test_arrays_are_valid(flags: list[bool | None], numbers: list[int | None]) -> None:
    for array, expected in ((rows.booleans(flags), flags), (rows.integers(numbers), numbers)):
        array.validate(full=True)
        assert array.to_pylist() == expected


def test_no_helper_imports_pandas() -> None:
    """It costs 1.8 CPU seconds, and `pa.array`, `pa.scalar` and comparisons with Python values all do it."""
    code = """
import sys
from ftspec import rows
batch = rows.from_dicts([{"a": " x", "b": 1, "c": [1], "messages": [{"role": "user", "content": "q"}]}])
batch = rows.map_text(batch, str.strip, prefilter="x")
batch = rows.drop(batch, rows.is_empty(batch.column("messages")), "empty")
rows.fingerprints(batch), rows.equal_keys(batch)
rows.lengths(batch.column("a")), list(rows.examples(batch)), rows.to_dicts(batch)
print("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@settings(max_examples=100)
@given(st.lists(st.one_of(st.text(max_size=6), st.none()), min_size=1, max_size=12), st.data())
def test_texts_are_put_where_others_stood(said: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(said) - 1))
    texts, there = strings(said)[start:], said[start:]
    some = [place for place, each in enumerate(there) if each is not None]
    places = sorted(data.draw(st.sets(st.sampled_from(some)))) if some else []
    values = [data.draw(st.text(max_size=6)) for _ in places]
    made = with_texts(texts, places, values)
    made.validate(full=True)
    expected = list(there)
    for place, value in zip(places, values, strict=True):
        expected[place] = value
    assert made.to_pylist() == expected
    assert with_texts(texts, [], []) is texts


@pytest.mark.parametrize("said", [["ab", "c", ""], ["ab", None, ""]])
def test_texts_that_are_too_long_together_are_told(said: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_BYTES", 6)
    assert with_texts(strings(said), [0], ["abcde"]).to_pylist() == ["abcde", *said[1:]]
    with pytest.raises(FtspecError, match="the texts of 3 rows that are worked on together are longer than 2 GiB"):
        with_texts(strings(said), [0, 2], ["abcde", "é"])


def test_marks_need_not_rise() -> None:
    """Those of a plugin's prefilter: an array whose bounds fell would be read outside of its memory."""
    marked = Marked(strings(["a", "b", "c", "d"]), {3: 30, 0: 0, 1: 10})
    assert (marked.places, marked.texts, marked.marks) == ([0, 1, 3], ["a", "b", "d"], [0, 10, 30])
    made = marked.put(["a", "x", "y"]).array
    made.validate(full=True)
    assert made.to_pylist() == ["a", "x", "c", "y"]
    assert marked.put(["a", "b", "d"]).array is marked.array


def test_a_lone_surrogate_is_put_as_what_has_bytes() -> None:
    assert with_texts(strings(["a", "b"]), [1], ["x\udc80"]).to_pylist() == ["a", "x\ufffd"]
