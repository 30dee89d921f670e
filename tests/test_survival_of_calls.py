"""Every cleaning step, over rows of every kind: what it is not about comes out as it went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ftspec import builtin, rows
from ftspec.testing.cleaner import _cleaned

SCRIPT = "def clean(row):\n    return dict(row)\n"

OPTIONS: dict[str, dict[str, Any]] = {
    "rename": {"columns": {"text": "said"}},
    "select": {"columns": ["id", "messages", "chosen", "rejected", "tools"]},
    "constant": {"columns": {"source": "mail"}},
    "map": {"column": "text", "values": {"x": "y"}},
    "flatten": {"columns": ["address"]},
    "replace": {"find": "nothing like that", "to": ""},
    "filter": {"where": "id > 0 and calls(messages) >= 0"},
    "language": {"drop": ["tlh", "la"]},
    "length": {"max": 10_000},
    "sample": {"fraction": 1.0},
    "balance": {"column": "text", "most": 100},
    "decontaminate": {"files": ["clean.py"]},
}
"""Options with which a step keeps these rows, where it cannot do without; any other step is taken as it comes."""


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": arguments}}


def conversation(arguments: Any, topic: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": "You look orders up."},
        {"role": "user", "content": f"Where is {topic}?", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call(arguments)], "weight": 0},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"state": "sent"}'},
        {"role": "assistant", "content": f"We sent {topic}, and hope that you like it."},
    ]


TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
SEEN = [
    {"role": "user", "content": [{"type": "text", "text": "What do you see here?"}, IMAGE]},
    {"role": "assistant", "content": "A red bicycle."},
]
QUESTION = [{"role": "user", "content": "Which one is better?"}]
PAIR = {
    "chosen": [{"role": "assistant", "content": "The first one, by far."}],
    "rejected": [{"role": "assistant", "content": "No idea at all."}],
}
KINDS: dict[str, list[dict[str, Any]]] = {
    "columns": [{"id": 1, "text": "A row of columns.", "address": {"city": "Rome"}, "tags": ["a", "b"], "ok": True}],
    "messages": [{"id": 2, "messages": SEEN[1:]}],
    "arguments as text": [
        {
            "id": 3,
            "messages": conversation('{"number": "57915", "deep": {"a": [1, "b"]}}', "the kettle of last week"),
            "tools": TOOLS,
        }
    ],
    "arguments as an object": [
        {
            "id": 4,
            "messages": conversation(
                {"number": "57915", "deep": {"a": [1, "b"]}}, "a lamp that my aunt ordered on Monday morning"
            ),
            "tools": TOOLS,
        }
    ],
    "parts with an image": [{"id": 5, "messages": SEEN}],
    "pairs": [{"id": 6, "messages": QUESTION, **PAIR}],
    "null and empty messages": [{"id": 7, "messages": None, "text": "something"}, {"id": 8, "messages": []}],
}
KINDS["all of them at once"] = [row for values in KINDS.values() for row in values]


def batch_of(values: list[dict[str, Any]]) -> pa.RecordBatch:
    made = rows.from_dicts(values, ("chosen", "rejected"))
    numbers, sides = rows.integers(range(1, len(values) + 1)), rows.repeated("train", len(values))
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), rows.ROW: numbers, rows.SIDE: sides}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(builtin.ftspec_cleaners()))
def test_what_a_step_is_not_about_comes_out_as_it_went_in(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSPEC_ALLOW_PYTHON", "1")
    (tmp_path / "clean.py").write_text(SCRIPT)
    options = dict(OPTIONS.get(name, {}))
    if name == "python":
        options["file"] = str(tmp_path / "clean.py")
    if name == "decontaminate":
        options["files"] = [str(tmp_path / "clean.py")]
    component = builtin.ftspec_cleaners()[name]
    values = KINDS[kind]
    batch = batch_of(values)
    after = {row["id"]: row for row in rows.to_dicts(_cleaned(component, options, batch))}
    wanted = {row["id"]: row for row in rows.to_dicts(batch)}
    assert set(after) == set(wanted)
    for number, row in wanted.items():
        for column in ("messages", "chosen", "rejected", "tools"):
            assert after[number].get(column) == row.get(column), (number, column)


DIRTY = "schÃ¶n  \r\nundo\u200b"


def test_steps_over_texts_change_contents_and_leave_calls_whole() -> None:
    """All text steps that change something: contents, parts and arguments of either form, and nothing around them."""
    steps = builtin.ftspec_cleaners()
    messages = [
        {"role": "user", "content": [{"type": "text", "text": DIRTY}, IMAGE]},
        {"role": "assistant", "tool_calls": [call({"by": DIRTY, "n": 1}), call('{"by":"schÃ¶n","n":1}')]},
    ]
    batch = batch_of([{"id": 1, "messages": messages}])
    for name in ("fix_text", "normalise", "strip"):
        batch = _cleaned(steps[name], {}, batch)
    (row,) = rows.to_dicts(batch)
    assert row["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "schön\nundo"}, IMAGE]},
        {
            "role": "assistant",
            "tool_calls": [call({"by": "schön  \r\nundo\u200b", "n": 1}), call('{"by":"schön","n":1}')],
        },
    ]
