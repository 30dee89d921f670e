"""Cleaning steps: what each keeps, drops and changes, on columns and on messages."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ftspec import api, builtin, rows
from ftspec.builtin import chance, columns, dedupe, filters, sizes, text


def batch_of(values: list[dict[str, Any]]) -> pa.RecordBatch:
    made = rows.from_dicts(values)
    named = {**dict(zip(made.schema.names, made.columns, strict=True))}
    named[rows.ROW] = rows.integers(range(1, len(values) + 1))
    named[rows.SIDE] = rows.repeated("train", len(values))
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def chat(*contents: str | None, **more: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * 3
    said = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    return {"messages": said, **more}


def kept(component: api.Component, values: list[dict[str, Any]], **options: Any) -> list[int]:
    """Numbers of the rows that a batch or global step keeps."""
    batch, step = batch_of(values), component.build(options)
    if component.level == "global":
        dropped = step.reduce(step.keys(batch), batch.column(rows.ROW))
        return [n for n in range(1, len(values) + 1) if n not in dropped.rows.to_pylist()]
    after = step(batch)
    stays = (
        pc.is_null(after.column("_reason")) if "_reason" in after.schema.names else rows.repeated(True, after.num_rows)
    )
    numbers: list[int] = after.filter(stays).column(rows.ROW).to_pylist()
    return numbers


def texts(component: api.Component, values: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    step = component.build(options)
    where = {name: getattr(step, name) for name in ("prefilter", "nested", "beyond_ascii", "arrays")}
    return rows.to_dicts(rows.map_text(batch_of(values), step.function, **where))


def test_every_level_of_step_is_used() -> None:
    levels = {component.level for component in builtin.ftspec_cleaners().values()}
    assert levels == {"text", "batch", "row", "global", "screen"}


@pytest.mark.parametrize("space", [" ", "\n", "\t", "\x0b", "\x1c", "\x85", "\u00a0", "\u2003", "\u2028", "\u3000"])
def test_strip(space: str) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"by": " "}'}}
    value = {"a": f"{space}x y{space}", "n": 1, **chat(f"q{space}", f"{space}a")}
    value["messages"].append({"role": "assistant", "tool_calls": [call]})
    (after,) = texts(text.strip, [value])
    assert after["a"] == "x y"
    assert [message.get("content") for message in after["messages"]] == ["q", "a", None]
    assert after["messages"][2]["tool_calls"] == [call]


def test_drop_empty() -> None:
    values = [{"a": "x", "b": "y"}, {"a": " \n", "b": "y"}, {"b": "y"}, {"a": 0, "b": None}, {"a": "", "b": ""}]
    assert kept(filters.drop_empty, values, columns=["a"]) == [1, 4]
    assert kept(filters.drop_empty, values, columns=["a", "b"]) == [1]
    assert kept(filters.drop_empty, values) == [1, 2, 3, 4]


def test_drop_empty_messages() -> None:
    calls = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}
    values = [chat("q", "a"), chat("q", " "), {"messages": []}, {"messages": None}, calls, chat("q", None)]
    assert kept(filters.drop_empty, values, columns=["messages"]) == [1, 5]


def test_length() -> None:
    values: list[dict[str, Any]] = [{"a": "ab", "b": "x"}, {"a": "äöü", "b": "x"}, {"a": "abcd", "n": 12345}, {}]
    assert kept(sizes.length, values, columns=["a"], min=3) == [2, 3]
    assert kept(sizes.length, values, columns=["a"], max=3) == [1, 2, 4]
    assert kept(sizes.length, values, min=4) == [2, 3]
    assert kept(sizes.length, [chat("ab", "cd"), chat("ab", "cde"), chat()], min=1, max=4) == [1]


def test_length_says_why() -> None:
    batch = sizes.length.build({"columns": ["a"], "min": 2, "max": 3})(
        batch_of([{"a": "x"}, {"a": "xx"}, {"a": "xxxx"}])
    )
    assert batch.column("_reason").to_pylist() == ["under 2 characters", None, "over 3 characters"]


def test_rules_see_options_together() -> None:
    def problems(component: api.Component, **options: Any) -> list[Any]:
        return [path for rule in component.rules for path, _ in rule(component.convert(options))]

    assert problems(sizes.length, min=9, max=3) == [("min",)]
    assert problems(sizes.length, min=3, max=3) == []
    assert problems(chance.sample) == problems(chance.sample, fraction=0.5, count=3) == [()]
    assert problems(chance.sample, count=3) == []


def test_columns_that_get_the_name_of_another_one() -> None:
    """Row by row: neither the rows beside it nor the order of its columns decides what a row keeps."""
    both = {"old": "a", "new": "b", "o": {"x": 2, "y": None}, "o_y": 3, "o_x": 1}
    table: list[dict[str, Any]] = [{"new": "b", "o_x": 1}, both, {"old": 5}, {"new": [1]}]
    rename, flatten = columns.rename.build({"columns": {"old": "new"}}), columns.flatten.build({"columns": ["o"]})
    expected = ["b", "a", 5, [1]]
    assert [row["new"] for row in rows.to_dicts(rename(batch_of(table)))] == expected
    assert [rows.to_dicts(rename(batch_of([row])))[0]["new"] for row in table] == expected
    assert flatten(both) == flatten(dict(reversed(both.items()))) == {
        "old": "a", "new": "b", "o_x": 2, "o_y": 3
    }  # fmt: skip


def test_rename_select_flatten() -> None:
    batch = batch_of([{"a": 1, "b": {"c": {"d": "x"}, "e": 2}}])
    renamed = columns.rename.build({"columns": {"a": "b"}})(batch)
    assert rows.to_dicts(renamed) == [{"b": 1}]
    assert set(rows.hidden(renamed)) == {rows.ROW, rows.SIDE}
    assert rows.to_dicts(columns.select.build({"columns": ["a", "gone"]})(batch)) == [{"a": 1}]
    flatten = columns.flatten.build({"columns": ["b"]})
    assert [flatten(row) for row in rows.to_dicts(batch)] == [{"a": 1, "b_c_d": "x", "b_e": 2}]


def mapped(given: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """What `map` leaves, row by row and all at once: it must be the same."""
    step = columns.map_.build(options)
    whole = step(batch_of(given))
    kept = whole.filter(pc.is_null(whole.column("_reason"))) if "_reason" in whole.schema.names else whole
    made = rows.to_dicts(kept)
    for value in given:
        one = step(batch_of([value]))
        if "_reason" not in one.schema.names or one.column("_reason")[0].as_py() is None:
            assert rows.to_dicts(one)[0] in made
    return made


LABELS: list[dict[str, Any]] = [{"a": "y"}, {"a": "n"}, {"a": "?"}, {"b": 1}]


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, [{"a": "yes"}, {"a": "no"}, {"a": "?"}, {"b": 1}]),
        ({"unknown": "null"}, [{"a": "yes"}, {"a": "no"}, {}, {"b": 1}]),
        ({"unknown": "drop"}, [{"a": "yes"}, {"a": "no"}]),
        ({"default": "other"}, [{"a": "yes"}, {"a": "no"}, {"a": "other"}, {"a": "other", "b": 1}]),
        (
            {"into": "c"},
            [{"a": "y", "c": "yes"}, {"a": "n", "c": "no"}, {"a": "?", "c": "?"}, {"b": 1}],
        ),
    ],
)
def test_map(options: dict[str, Any], after: list[dict[str, Any]]) -> None:
    assert mapped(LABELS, column="a", values={"y": "yes", "n": "no"}, **options) == after


def test_map_of_and_to_any_type() -> None:
    values: list[dict[str, Any]] = [{"a": 1}, {"a": True}, {"a": "1"}, {"a": 2.5}, {"a": ["x"]}, {}]
    table = {"1": "one", "true": 0, '["x"]': None}
    assert mapped(values, column="a", values=table) == [{"a": "one"}, {"a": 0}, {"a": "one"}, {"a": 2.5}, {}, {}]
    assert mapped([{"a": "y"}, {"a": "n"}], column="a", values={"y": 1, "n": 0}) == [{"a": 1}, {"a": 0}]
    assert mapped([{"a": 1}, {"a": 2}], column="a", values={"1": "x"}) == [{"a": "x"}, {"a": 2}]


def test_map_gives_messages_other_roles() -> None:
    said = [{"role": "human", "content": "q"}, {"role": "gpt", "content": "a"}]
    (after,) = mapped([{"messages": said}], column="messages", values={"human": "user", "gpt": "assistant"})
    assert [message["role"] for message in after["messages"]] == ["user", "assistant"]
    assert (
        mapped([{"messages": said}, chat("q", "a")], column="messages", values={"human": "user"}, unknown="drop") == []
    )


def test_map_fails_and_says_which_row() -> None:
    with pytest.raises(api.DataError) as raised:
        columns.map_.build({"column": "a", "values": {"y": "1"}, "unknown": "fail"})(batch_of(LABELS))
    assert [finding.row for finding in raised.value.findings] == [2, 3, 4]
    first, _, last = raised.value.findings
    assert ("'n'" in first.hint, "'n'" in first.message, last.message) == (True, False, "the row has no 'a'")


def test_constant() -> None:
    def after(values: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        return rows.to_dicts(columns.constant.build(options)(batch_of(values)))

    assert after([{"a": 1}, {}], columns={"b": "x", "c": [1, {"d": None}]}) == [
        {"a": 1, "b": "x", "c": [1, {"d": None}]}, {"b": "x", "c": [1, {"d": None}]}
    ]  # fmt: skip
    assert after([{"a": 1}, {"b": 1}], columns={"a": 2}) == [{"a": 2}, {"a": 2, "b": 1}]
    assert after([{"a": 1}, {"b": 1}, {"a": "x"}], columns={"a": 2}, keep=True) == [
        {"a": 1},
        {"b": 1, "a": 2},
        {"a": "x"},
    ]
    assert after([{"a": "y"}, {"a": None}], columns={"a": "x"}, keep=True) == [{"a": "y"}, {"a": "x"}]
    said = [{"role": "user", "content": "q"}]
    assert after([{"a": 1}], columns={"messages": said}) == [{"a": 1, "messages": said}]
    assert after([chat("q"), {"a": 1}], columns={"messages": said}, keep=True)[1] == {"a": 1, "messages": said}


@pytest.mark.parametrize(
    ("component", "options"),
    [
        (columns.constant, {"columns": {"_row": 1}}),
        (columns.constant, {"columns": {"messages": "hello"}}),
        (columns.rename, {"columns": {"a": "_side"}}),
        (columns.rename, {"columns": {"a": "c", "b": "c"}}),
        (columns.map_, {"column": "a", "values": {"x": 1}, "default": 2, "unknown": "drop"}),
        (columns.map_, {"column": "a", "values": {"x": 1}, "into": "_row"}),
    ],
)
def test_columns_that_cannot_be_made(component: api.Component, options: dict[str, Any]) -> None:
    assert [clash for rule in component.rules for clash in rule(component.convert(options))]


def test_swapping_names() -> None:
    batch = batch_of([{"a": 1, "b": 2}])
    assert rows.to_dicts(columns.rename.build({"columns": {"a": "b", "b": "a"}})(batch)) == [{"b": 1, "a": 2}]


def test_dedupe_keeps_the_first() -> None:
    values = [{"a": "x", "b": 1}, {"a": "y"}, {"b": 1, "a": "x"}, {"a": "x"}, {"a": "y", "b": None}, {"c": 1}, {"c": 2}]
    assert kept(dedupe.dedupe, values) == [1, 2, 4, 6, 7]
    assert kept(dedupe.dedupe, values, columns=["a"]) == [1, 2, 6, 7]
    assert kept(dedupe.dedupe, [chat("q", "a"), chat("q", "b"), chat("q", "a")]) == [1, 2]
    assert kept(dedupe.dedupe, [{"c": 1}], columns=["gone"]) == [1]


def test_dedupe_says_because_of_which_row() -> None:
    batch, step = batch_of([{"a": "x"}, {"a": "y"}, {"a": "x"}, {"a": "y"}, {"a": "x"}]), dedupe.dedupe.build({})
    dropped = step.reduce(step.keys(batch), batch.column(rows.ROW))
    assert (dropped.rows.to_pylist(), dropped.because.to_pylist()) == ([3, 4, 5], [1, 2, 1])


def test_sample() -> None:
    values = [{"a": i} for i in range(1000)]
    half = kept(chance.sample, values, fraction=0.5)
    assert len(half) == pytest.approx(500, abs=60)
    assert half == kept(chance.sample, values, fraction=0.5) != kept(chance.sample, values, fraction=0.5, seed=1)
    assert [n for n in half if n <= 300] == kept(chance.sample, values[:300], fraction=0.5)
    assert set(kept(chance.sample, values, fraction=0.2)) < set(half)
    assert kept(chance.sample, values, fraction=1.0) == list(range(1, 1001))
    assert len(kept(chance.sample, values, count=10)) == 10
    assert kept(chance.sample, values[:5], count=10) == [1, 2, 3, 4, 5]
