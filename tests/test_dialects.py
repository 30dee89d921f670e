"""Conversations of other shapes, from the pages that describe them, to messages, however batches are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import registry, rows
from ftspec.builtin.simulated.tuner import Simulated
from ftspec.common.errors import DataError
from ftspec.common.jobs import ModelRef, Request
from ftspec.common.progress import Quiet
from ftspec.data import formatted, pipeline
from ftspec.layout import dialects
from ftspec.spec import Item, Spec

LOADED = registry.load()


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(identity: str, name: str, arguments: str) -> dict[str, Any]:
    call = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call]}


def answered(identity: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}
WEATHER = {"type": "object", "properties": {"location": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Now.", "parameters": WEATHER}}
IMAGE = "data:image/png;base64,iVBORw0KGgo="

CASES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]], list[Any] | None]] = {
    # https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Sharegpt Format"
    "sharegpt": (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "Weather in Paris?"},
                {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"location": "Paris"}}'},
                {"from": "observation", "value": "15 degrees"},
                {"from": "gpt", "value": "Mild."},
            ],
            "system": "Be brief.",
            "tools": [TOOL["function"]],
        },
        [SYSTEM, user("Weather in Paris?"), called("call_1", "get_weather", '{"location":"Paris"}'),
         answered("call_1", "15 degrees"), assistant("Mild.")],
        [TOOL],
    ),
    "sharegpt with roles": (
        "sharegpt", {"conversations": [user("Hi"), assistant("Ho")]}, [user("Hi"), assistant("Ho")], None
    ),
    # The same page, "Alpaca Format"
    "alpaca": (
        "alpaca",
        {"instruction": "Add.", "input": "1 and 2", "output": "3", "system": "Be brief.", "history": [["Hi", "Ho"]]},
        [SYSTEM, user("Hi"), assistant("Ho"), user("Add.\n1 and 2"), assistant("3")],
        None,
    ),
    # https://platform.openai.com/docs/api-reference/chat/object
    "openai": (
        "openai",
        {
            "messages": [user("Hello!")],
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {**assistant("Hi there!"), "refusal": None, "annotations": []}}],
        },
        [user("Hello!"), assistant("Hi there!")],
        None,
    ),
    # https://platform.openai.com/docs/guides/batch: the line of the input and that of the output
    "openai batch": (
        "openai",
        {
            "custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": "gpt-4.1", "messages": [user("Hello!")], "tools": [TOOL]},
            "response": {"status_code": 200, "body": {"choices": [{"message": assistant("Hi there!")}]}},
        },
        [user("Hello!"), assistant("Hi there!")],
        [TOOL],
    ),
    # https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview
    "anthropic": (
        "anthropic",
        {
            "request": {
                "system": "Be brief.",
                "tools": [{"name": "get_weather", "description": "Now.", "input_schema": WEATHER}],
                "messages": [
                    user("Weather in Paris?"),
                    {"role": "assistant", "content": [
                        {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"location": "Paris"}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_01", "content": "15 degrees"}]},
                ],
            },
            "response": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Mild."}]},
        },
        [SYSTEM, user("Weather in Paris?"), called("toolu_01", "get_weather", '{"location":"Paris"}'),
         answered("toolu_01", "15 degrees"), assistant("Mild.")],
        [TOOL],
    ),
    # https://docs.anthropic.com/en/docs/build-with-claude/vision
    "anthropic image": (
        "anthropic",
        {"messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "text", "text": "What is it?"}]},
            assistant("A dot.")]},
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}},
                                      {"type": "text", "text": "What is it?"}]}, assistant("A dot.")],
        None,
    ),
    # https://ai.google.dev/gemini-api/docs/function-calling
    "gemini": (
        "gemini",
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"functionDeclarations": [{"name": "get_weather", "description": "Now.", "parameters": {
                "type": "OBJECT", "properties": {"location": {"type": "STRING"}}}}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "Weather in Paris?"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {"location": "Paris"}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"now": 15}}}]},
            ],
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Mild."}]}, "finishReason": "STOP"}],
        },
        [SYSTEM, user("Weather in Paris?"), called("call_1", "get_weather", '{"location":"Paris"}'),
         answered("call_1", '{"now":15}'), assistant("Mild.")],
        [TOOL],
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html
    "bedrock": (
        "bedrock",
        {
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "Weather in Paris?"}]},
                {"role": "assistant", "content": [
                    {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"location": "Paris"}}}]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": "tooluse_1", "content": [{"json": {"now": 15}}]}}]},
            ],
            "toolConfig": {"tools": [{"toolSpec": {"name": "get_weather", "description": "Now.",
                                                   "inputSchema": {"json": WEATHER}}}]},
            "output": {"message": {"role": "assistant", "content": [{"text": "Mild."}]}},
        },
        [SYSTEM, user("Weather in Paris?"), called("tooluse_1", "get_weather", '{"location":"Paris"}'),
         answered("tooluse_1", '{"now":15}'), assistant("Mild.")],
        [TOOL],
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html
    "bedrock file": (
        "bedrock",
        {"schemaVersion": "bedrock-conversation-2024", "system": [{"text": "Be brief."}],
         "messages": [{"role": "user", "content": [{"text": "Hi"}]},
                      {"role": "assistant", "content": [{"text": "Ho"}]}]},
        [SYSTEM, user("Hi"), assistant("Ho")],
        None,
    ),
}  # fmt: skip
UNTOUCHED: list[dict[str, Any]] = [
    {"messages": [user("Hi"), assistant("Ho")], "system": "of nobody"},
    {"messages": [user("Hi"), assistant("Ho")], "choices": [{"message": assistant("else")}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, assistant("Ho")]},
    {"instruction": "Add.", "output": "3", "conversations": [user("Hi"), assistant("Ho")]},
    {"conversations": [{"from": "stranger", "value": "Hi"}]},
    {"conversations": "not a list"},
    {"conversations": "[not JSON"},
    {"messages": [user("Hi"), assistant("Ho")], "conversations": json.dumps([user("Hi"), assistant("else")])},
    {"instruction": "Add.", "output": ["3"]},
    {"text": "a", "label": "b"},
    {"request": {"messages": [user("Hi"), assistant("Ho")]}, "contents": [{"parts": [{"text": "x"}]}]},
    {"conversations": [user("Hi"), assistant("Ho")], "images": ["cat.png"]},
]


def made(values: list[dict[str, Any]], read_as: str = "auto") -> list[dict[str, Any]]:
    batch, faults = rows.conform(rows.from_dicts(values))
    assert not faults
    batch, faults = formatted.read_dialects(batch, read_as)
    assert not faults
    return rows.to_dicts(batch)


@pytest.mark.parametrize("case", CASES)
def test_the_published_shape_becomes_messages(case: str) -> None:
    name, row, messages, tools = CASES[case]
    wanted = {"messages": messages} | ({"tools": tools} if tools else {})
    for read_as in ("auto", name):
        (found,) = made([row], read_as)
        assert {key: found.get(key) for key in wanted} == wanted
        assert not set(found) & (set(dialects.COLUMNS) - {"messages", "tools"})
    assert made([row], "none") == rows.to_dicts(rows.from_dicts([row]))


@pytest.mark.parametrize("case", [name for name, (_, row, *_) in CASES.items() if set(row) & set(dialects.AS_JSON)])
def test_what_a_table_holds_as_json_text_is_read_as_that(case: str) -> None:
    name, row, messages, _ = CASES[case]
    written = {key: json.dumps(value) if key in dialects.AS_JSON else value for key, value in row.items()}
    for read_as in ("auto", name):
        (found,) = made([written], read_as)
        assert found["messages"] == messages and not set(found) & set(dialects.AS_JSON)


@pytest.mark.parametrize("row", UNTOUCHED)
def test_what_is_openais_or_fits_nothing_or_two_stays(row: dict[str, Any]) -> None:
    assert made([row]) == [row]


def test_a_batch_of_openais_messages_is_the_same_object() -> None:
    batch = rows.from_dicts([{"messages": [user("Hi"), assistant("Ho")], "system": "x", "input": "y"}])
    assert formatted.read_dialects(batch, "auto")[0] is batch


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*(case[1] for case in CASES.values()), *UNTOUCHED]), min_size=1), st.data())
def test_mixed_shapes_are_the_same_rows_however_batches_are_cut(
    values: list[dict[str, Any]], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values)))) | {0, len(values)})
    parts = [values[start:end] for start, end in pairwise(cuts)]
    assert [row for part in parts for row in made(part)] == made(values)


def prepare(folder: Path, values: list[dict[str, Any]], read_as: str = "auto") -> list[Any]:
    (folder / "data.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    source = Item(kind="source", name="jsonl", options={"path": "data.jsonl"}, path=("sources", 0), read_as=read_as)
    spec = Spec(
        version=1, name="t", folder=folder, file=folder / "t.yaml", model=ModelRef(id="base"), sources=(source,),
        provider=Item(kind="provider", name="simulated"),
    )  # fmt: skip
    out = folder / "out"
    out.mkdir()
    pipeline.prepare(spec, LOADED, Simulated(), Request(model=spec.model), out, Quiet())
    return [json.loads(line)["messages"] for line in (out / "training.jsonl").read_text().splitlines()]


def test_a_mixed_file_is_read_from_source_to_the_tuners_file(tmp_path: Path) -> None:
    texts = [case for name, case in CASES.items() if "image" not in name]
    assert prepare(tmp_path, [row for _, row, _, _ in texts]) == [messages for _, _, messages, _ in texts]


def test_a_forced_row_that_does_not_fit_is_found_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        prepare(tmp_path, [CASES["sharegpt"][1], {"text": "a"}], "sharegpt")
    (found,) = [finding for finding in raised.value.findings if "read as" in finding.message]
    assert (found.file, found.line) == ("data.jsonl", 2)
    assert "there is no list `conversations`" in found.message


SECRET = "My SSN is 078-05-1120"
ODD: list[tuple[str, dict[str, Any], str]] = [
    ("openai", {"messages": [user("x"), {"role": "user", "content": [{"type": "text"}, {"type": SECRET}]}]},
     "part 2 of message 2 is not OpenAI's: it is of type (a text that no API has there)"),
    ("openai", {"messages": [{"role": "user", "content": [{"type": "x", "text": SECRET}]}]}, "part 1 of message 1"),
    ("openai", {"messages": [{"role": "user", "content": [SECRET]}]}, "it is text"),
    ("openai", {"messages": [{"role": "user", "content": [{"type": {"a": SECRET}}]}]}, "of type (an object)"),
    ("anthropic", {"messages": [{"role": SECRET, "content": "x"}]}, "a message has role (a text"),
    ("anthropic", {"messages": [{"role": "user", "content": [{"type": SECRET}]}]}, "a block of type (a text"),
    ("anthropic", {"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "a block of type 'document'"),
    ("gemini", {"contents": [{"role": SECRET, "parts": []}]}, "a content has role (a text"),
    ("gemini", {"contents": [{"parts": [{SECRET: 1}]}]}, "no room for: (a text"),
    ("gemini", {"contents": [{"parts": [{"functionResponse": {"name": SECRET}}]}]}, "was not called"),
    ("bedrock", {"messages": [{"role": "user", "content": [{SECRET: {}}]}]}, "a block (a text"),
    ("bedrock", {"messages": [{"role": "user", "content": [{SECRET: 1}]}]}, "block (a text"),
    ("sharegpt", {"conversations": [{"from": SECRET, "value": "x"}]}, "turn 1 is of nobody that is known"),
]  # fmt: skip
"""Rows that are not of the shape they are read as, with something secret where a name should be."""


@pytest.mark.parametrize(("name", "row", "part"), ODD)
def test_what_is_wrong_is_told_without_the_rows_own_words(name: str, row: dict[str, Any], part: str) -> None:
    with pytest.raises(rows.Fault) as raised:
        dialects.read(row, name)
    assert part in str(raised.value)
    assert SECRET not in str(raised.value)


def test_an_envelope_of_any_depth_can_be_asked_about() -> None:
    held: dict[str, Any] = {"messages": [user("Hi"), assistant("Ho")]}
    for _ in range(3_000):
        held = {"body": held}
    assert dialects.read({"request": held}, "openai")[0] == {"messages": [user("Hi"), assistant("Ho")]}
    with pytest.raises(rows.Fault, match="more than 350 levels deep"):
        dialects.read({"conversations": [user("x")], "tools": "[" * 400 + "]" * 400}, "sharegpt")


def test_a_row_of_no_shape_is_told_of_read_as(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        prepare(tmp_path, [{"text": "a"}, CASES["alpaca"][1]])
    (found,) = raised.value.findings
    assert (found.file, found.line) == ("data.jsonl", 1)
    assert "`read_as` at its source" in found.message


@pytest.mark.parametrize("name", ["parametersJsonSchema", "parameters_json_schema"])
def test_a_function_of_gemini_may_have_a_schema_that_is_json_schema(name: str) -> None:
    """https://ai.google.dev/api/caching#FunctionDeclaration: in the place of `parameters`."""
    schema = {"type": "object", "properties": {"type": {"type": "string", "enum": ["A"]}}}
    row = {"tools": [{"functionDeclarations": [{"name": "f", name: schema}]}], "contents": [{"parts": [{"text": "q"}]}]}
    (tool,) = dialects.read(row, "gemini")[0]["tools"]
    assert tool["function"] == {"name": "f", "parameters": schema}
