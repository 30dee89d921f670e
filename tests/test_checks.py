"""Checks: each class of fault is named, and what is right is left alone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ftspec import api, rows
from ftspec.builtin import checks

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "r"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def batch_of(values: list[tuple[str, dict[str, Any]]], first: int = 1) -> pa.RecordBatch:
    made = rows.from_dicts([{"messages": None, "tools": None, **row} for _, row in values])
    named = dict(zip(made.schema.names, made.columns, strict=True))
    named[rows.ROW] = rows.integers(range(first, first + len(values)))
    named[rows.SIDE] = rows.strings([side for side, _ in values])
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def found(
    component: api.Component, *values: tuple[str, dict[str, Any]], **options: Any
) -> list[tuple[int | None, str]]:
    """Findings, which must be the same with all rows in one batch and with each in its own."""
    check = component.build(options)
    whole = list(check.judge([check.measure(batch_of(list(values)))]))
    single = list(check.judge([check.measure(batch_of([value], at)) for at, value in enumerate(values, 1)]))
    assert whole == single
    return [(finding.row, finding.message) for finding in whole]


def calling(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls)}


def messages(*said: dict[str, Any], **row: Any) -> tuple[str, dict[str, Any]]:
    return "train", {"messages": list(said), **row}


@pytest.mark.parametrize(
    "row",
    [
        messages(USER, ANSWER),
        messages(
            {"role": "system", "content": "s"},
            USER,
            ANSWER,
            USER,
            {**ANSWER, "weight": 0},
            USER,
            {**ANSWER, "weight": 1},
        ),
        messages(USER, CALLS, RESULT, ANSWER, tools=[TOOL]),
        messages(USER, {**CALLS, "content": "let me see"}, RESULT, ANSWER),
        messages(
            USER,
            {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "2"}]},
            {**RESULT, "tool_call_id": "2"},
            RESULT,
            ANSWER,
        ),
        messages(USER, CALLS, tools=[TOOL]),
        messages({"role": "developer", "content": "d"}, {**USER, "name": "Ana_1"}, ANSWER),
        messages(
            {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "image_url", "image_url": {}}]}, ANSWER
        ),
        messages(
            USER, {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {"a": 1}}}]}
        ),
        ("prompt", {"messages": [USER]}),
    ],
)
def test_what_tuners_take(row: tuple[str, dict[str, Any]]) -> None:
    assert found(checks.format_, row) == []


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (("train", {}), "the row has no messages"),
        (messages(), "the list of messages is empty"),
        (messages({"content": "q"}, ANSWER), "message 1 has no role"),
        (messages({"role": "user"}, ANSWER), "message 1 has no content"),
        (messages({"role": "user", "content": None}, ANSWER), "message 1 has no content"),
        (messages({**USER, "id": 3, "when": 1}, ANSWER), "message 1 has unknown keys 'id', 'when'"),
        (messages({"role": "bot", "content": "q"}, ANSWER), "message 1 has unknown role 'bot'"),
        (messages({"role": 3, "content": "q"}, ANSWER), "message 1 has unknown role '3'"),
        (messages({"role": "user", "content": 3}, ANSWER), "message 1 has a content that is neither text"),
        (messages({"role": "user", "content": [{"text": "q"}]}, ANSWER), "message 1 has a part without a type"),
        (messages({"role": "user", "content": [{"type": "text"}]}, ANSWER), "message 1 has a text part without text"),
        (messages({**USER, "name": "Ana B."}, ANSWER), "message 1 has name 'Ana B.'"),
        (messages({**USER, "name": "x" * 65}, ANSWER), "message 1 has name"),
        (messages(USER), "no message of the assistant"),
        (messages(USER, ANSWER, USER), "the last message is not the assistant's"),
        (messages(USER, {**ANSWER, "weight": 0}), "every message of the assistant has weight 0"),
        (messages(USER, {**ANSWER, "weight": 0.5}), "message 2 has weight '0.5'"),
        (messages(USER, {**ANSWER, "weight": True}), "message 2 has weight 'true'"),
        (messages(USER, {**ANSWER, "weight": "1"}), "message 2 has weight '1'"),
        (messages({**USER, "weight": 1}, ANSWER), "message 1 has a weight: only the assistant's"),
        (messages(USER, RESULT, ANSWER), "message 2 answers call '1', which no earlier message makes"),
        (messages(USER, CALLS, {**RESULT, "tool_call_id": "9"}, ANSWER), "message 3 answers call '9'"),
        (messages(USER, CALLS, {"role": "tool", "content": "r"}, RESULT, ANSWER), "message 3 is a tool's answer"),
        (messages(USER, CALLS, ANSWER), "message 3 comes before call '1' was answered"),
        (messages({**USER, "tool_call_id": "1"}, ANSWER), "message 1 has a tool_call_id"),
        (messages({**USER, "tool_calls": [CALL]}, ANSWER), "message 1 has tool_calls: only the assistant"),
        (messages(USER, {**ANSWER, "tool_calls": []}), "message 2 has tool_calls that are not a list"),
        (messages(USER, {"role": "assistant", "tool_calls": "f"}), "message 2 has tool_calls that are not a list"),
        (messages(USER, calling({"function": {}})), "message 2 has a tool call without an id"),
        (messages(USER, calling({"id": "1"})), "has a tool call without a function name"),
        (messages(USER, calling({"id": "1", "function": {"name": "f", "arguments": "{"}})), "not a JSON object"),
        (messages(USER, calling(CALL, CALL)), "message 2 makes two calls with id '1'"),
        (messages(USER, ANSWER, tools=[{"name": "f"}]), "tool 1 has no function with a name"),
    ],
)  # fmt: skip
def test_each_class_of_fault(row: tuple[str, dict[str, Any]], part: str) -> None:
    good = messages(USER, ANSWER)
    reports = found(checks.format_, good, row, good)
    assert reports
    assert {number for number, _ in reports} == {2}
    assert any(part in message for _, message in reports), reports


EMPTY = {"role": "assistant", "content": ""}


def test_empty_answers_are_warned_of() -> None:
    rows_of = [
        messages(USER, EMPTY),
        messages({**USER, "content": ""}, ANSWER),
        messages(USER, {**EMPTY, "weight": 0}, ANSWER),
        ("prompt", {"messages": [USER, EMPTY, USER]}),
        messages(USER, {**EMPTY, "tool_calls": [CALL]}),
        messages(USER, ANSWER, USER, EMPTY),
    ]
    reports = found(checks.format_, *rows_of)
    assert reports == [
        (1, "message 2 is an empty answer, which the model would learn to give"),
        (6, "message 4 is an empty answer, which the model would learn to give"),
    ]


def test_all_faults_of_a_row_are_told() -> None:
    row = messages({"role": "bot", "content": "q", "x": 1}, {**USER, "weight": 1})
    assert len(found(checks.format_, row)) == 4


def test_min_examples_counts_training_rows() -> None:
    values = [(side, messages(USER, ANSWER)[1]) for side in ("train", "train", "test", "validation")]
    assert found(checks.min_examples, *values, count=2) == []
    assert found(checks.min_examples, *values, count=3) == [(None, "2 rows to train on, at least 3 are wanted")]
    assert found(checks.min_examples, count=1) == [(None, "0 rows to train on, at least 1 are wanted")]


def asked(side: str, question: str, answer: str = "a", system: str = "s") -> tuple[str, dict[str, Any]]:
    said = [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return side, {"messages": said}


def test_leakage_between_sides() -> None:
    leaks = found(
        checks.leakage,
        asked("train", "one"), asked("train", "two"), asked("validation", "three"), asked("test", "ONE\n "),
        asked("prompt", "two", answer="other"), asked("test", "three"), asked("validation", "two"),
        asked("test", "four"), asked("prompt", "four"), asked("train", "one"),
    )  # fmt: skip
    assert [number for number, _ in leaks] == [4, 5, 6, 7]
    assert [message.partition("{row ")[2].partition("}")[0] for _, message in leaks] == ["1", "2", "3", "2"]


def test_no_leakage() -> None:
    values = [
        asked("train", "one"),
        asked("train", "one", "b"),
        asked("test", "two"),
        asked("test", "one", system="other"),
    ]
    assert found(checks.leakage, *values) == []
    assert list(checks.leakage.build({}).judge([])) == []
