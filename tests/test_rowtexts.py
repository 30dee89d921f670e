"""A function per row: it sees the texts of its row only, in an order that batches cannot change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ftspec import rows
from ftspec.layout.rowtexts import map_text_by_row

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "x c", "n": 1}'}}
OBJECT = {"id": "2", "type": "function", "function": {"name": "f", "arguments": {"to": "x d"}}}
CALLS = [CALL, OBJECT]
PARTS = [{"type": "text", "text": "x p"}, {"type": "image_url", "image_url": {"url": "x"}}]
ROWS: list[dict[str, Any]] = [
    {"b": "x b", "a": "x a", "deep": {"x": ["x deep"]}},
    {"b": "nothing", "messages": [{"role": "user", "content": "x u"}, {"role": "assistant", "tool_calls": CALLS}]},
    {"messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": "x later"}]},
]


def counted(row: int) -> Callable[[str], str]:
    seen: list[str] = []

    def function(text: str) -> str:
        seen.append(text)
        return text.replace("x", f"{len(seen)}") if text.startswith("x") else text

    return function


def test_a_function_per_row() -> None:
    first, second, third = rows.to_dicts(map_text_by_row(rows.from_dicts(ROWS), counted, prefilter="x"))
    assert first == {"a": "1 a", "b": "2 b", "deep": {"x": ["3 deep"]}}
    said, called = second["messages"]
    assert (second["b"], said["content"]) == ("nothing", "1 u")
    one, two = (call["function"]["arguments"] for call in called["tool_calls"])
    assert (json.loads(one), two) == ({"to": "2 c", "n": 1}, {"to": "3 d"})
    assert [part.get("text") for part in third["messages"][0]["content"]] == ["2 p", None]
    assert third["messages"][1]["content"] == "1 later"
    assert third["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": "x"}}


def test_batches_do_not_matter() -> None:
    whole = rows.to_dicts(map_text_by_row(rows.from_dicts(ROWS), counted))
    apart = [rows.to_dicts(map_text_by_row(rows.from_dicts([row]), counted))[0] for row in ROWS]
    assert whole == apart


def test_only_chosen_columns_and_no_hidden_ones() -> None:
    batch = map_text_by_row(rows.from_dicts(ROWS[:1]), counted, columns=["a", "none"])
    assert rows.to_dicts(batch) == [{**ROWS[0], "a": "1 a"}]
    assert map_text_by_row(batch, lambda row: str, columns=["b"]).equals(batch)
