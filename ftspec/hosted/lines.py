"""JSON lines with findings, and messages and preference pairs in the shape that OpenAI made common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

MOST_FINDINGS = 100
ROLES = frozenset({"system", "user", "assistant", "tool"})
"""Roles of messages that services of OpenAI's shape take as they are."""
DROP = "drop the row in `cleaning`"
"""The hint where nothing else helps."""


class Unfit(Exception):
    """A row that the provider would refuse: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def write_lines(
    batches: Iterable[pa.RecordBatch],
    out: BinaryIO,
    line: Callable[[api.Example], Mapping[str, Any]],
    plain: frozenset[str] = frozenset(),
) -> api.Written:
    """Write one JSON object a line. Raises DataError that names every row for which `line` raises Unfit.

    A conversation of nothing but texts whose roles are all among `plain`, and which ends with the assistant's message,
    is written as {"messages": [...]}, without asking `line`, which would make the same of it: many times as fast.
    """
    findings: list[api.Finding] = []
    faulty = count = 0
    for batch in batches:
        for part in rows.parts(batch, lambda said: _ends_with_answer(said, plain)):
            lines = []
            for example in rows.examples(part.others):
                try:
                    lines.append(msgspec.json.encode(line(example)) + b"\n")
                except Unfit as fault:
                    faulty += 1
                    lines.append(b"")
                    if faulty <= MOST_FINDINGS:
                        findings.append(api.Finding(message=str(fault), hint=fault.hint, row=example.row))
            out.write(part.lines(lines))
            count += len(part.places) + len(lines)
    if faulty:
        raise api.DataError(findings, faulty)
    return api.Written(rows=count)


def _ends_with_answer(said: rows.Conversations, known: frozenset[str]) -> Any:
    """Of each row, whether its messages are all of known roles, and the last is the assistant's."""
    strange = said.per_row(~said.is_role(*known))
    return (strange == 0) & said.is_role("assistant")[said.last]


def chat_message(message: api.Message, *, weights: bool = False) -> dict[str, Any]:
    """A message as OpenAI's shape has it, with its loss weight where that is wanted."""
    said: dict[str, Any] = msgspec.to_builtins(message)
    if not weights:
        said.pop("weight", None)
    if said.get("tool_calls"):
        said.setdefault("content", None)
        said["tool_calls"] = [_chat_call(call) for call in said["tool_calls"]]
    return said


def _chat_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments are a text of JSON: rows may hold the object itself, and the services take none."""
    function = dict(call["function"])
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = rows.to_json(function.get("arguments") or {})
    return {**call, "type": call.get("type", "function"), "function": function}


def text_of(message: api.Message) -> str:
    """A message's text. Raises Unfit where it has other parts."""
    parts = [message.content] if isinstance(message.content, str) else message.content or []
    for part in parts:
        if not isinstance(part, str) and part.get("type") not in {None, "text"}:
            raise Unfit(f"a message holds {part['type']}, and only text can be sent", DROP)
    return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in parts)


def only_answer(side: Sequence[api.Message] | None) -> api.Message:
    """The message that one side of a preference pair consists of. Raises Unfit for any other side."""
    if not side or len(side) != 1 or side[0].role != "assistant":
        raise Unfit("each side of a pair must be one message of the assistant", DROP)
    return side[0]


def chat_line(service: str, method: str, example: api.Example, content: Callable[[api.Message], Any]) -> dict[str, Any]:
    """A conversation in OpenAI's shape, for a service that knows ROLES and weights of 0 and 1; of the method "dpo" a
    preference pair: what was asked, and two answers of text alone. Raises Unfit.

    `content`: what is sent of a content in parts."""
    said = [_learned(service, message, content) for message in example.messages]
    asked = {"messages": said, **({"tools": example.tools} if example.tools else {})}
    if method == "dpo":
        sides = {"preferred_output": example.chosen, "non_preferred_output": example.rejected}
        answers = {name: text_of(only_answer(side)) for name, side in sides.items()}
        return {"input": asked, **{name: [{"role": "assistant", "content": text}] for name, text in answers.items()}}
    if said[-1]["role"] != "assistant":
        raise Unfit("the last message is not the assistant's", DROP)
    return asked


def _learned(service: str, message: api.Message, content: Callable[[api.Message], Any]) -> dict[str, Any]:
    said = chat_message(message, weights=True)
    said["role"] = "system" if said["role"] == "developer" else said["role"]
    if said["role"] not in ROLES:
        raise Unfit(f"{service} knows no role '{said['role']}'", f"use one of {', '.join(sorted(ROLES))}")
    if message.weight not in {None, 0, 1}:
        raise Unfit(f"a weight is {message.weight}, and {service} knows 0 and 1", "set it to 0 or 1")
    if message.weight is not None:
        said["weight"] = int(message.weight)
    if isinstance(message.content, list):
        said["content"] = content(message)
    return said
