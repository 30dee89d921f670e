"""Checks over the formatted data: is it what a tuner takes, is there enough of it, does the test set stay unseen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = ("system", "developer", "user", "assistant", "tool")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEYS = "role, content, name, tool_calls, tool_call_id, weight"


@api.check
def min_examples(*, count: Annotated[int, Meta(ge=1)] = 10) -> api.Check:
    """Want at least `count` rows to train on, after cleaning and without those held out."""

    def measure(batch: pa.RecordBatch) -> int:
        sides: list[str] = batch.column(rows.SIDE).to_pylist()
        return sides.count("train")

    def judge(counts: list[int]) -> Iterator[api.Finding]:
        if sum(counts) < count:
            message = f"{sum(counts)} rows to train on, at least {count} are wanted"
            yield api.Finding(message=message, hint="add rows, clean less, or hold out a smaller share")

    return api.Check(measure, judge)


@api.check
def format_() -> api.Check:
    """Check that every row is a conversation that tuners take: its messages, their keys, roles, tool calls, weights.

    The classes are those of OpenAI's cookbook (data preparation for chat fine-tuning), and those of its API since.
    This check always runs; name it to give it a severity or a waiver.
    """

    def measure(batch: pa.RecordBatch) -> list[tuple[int, str]]:
        suspects = _suspects(batch)
        if suspects.num_rows == 0:
            return []
        numbers = suspects.column(rows.ROW).to_pylist()
        sides = suspects.column(rows.SIDE).to_pylist()
        found = []
        for number, side, row in zip(numbers, sides, rows.to_dicts(suspects), strict=True):
            found += [(number, message) for message in row_problems(row, answered=side != "prompt")]
        return found

    def judge(measured: list[list[tuple[int, str]]]) -> Iterator[api.Finding]:
        for found in measured:
            yield from (api.Finding(message=message, row=number) for number, message in found)

    return api.Check(measure, judge)


def _suspects(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that need a closer look: all but plain text conversations that end with the assistant's message."""
    import pyarrow.compute as pc

    messages = batch.column("messages")
    fields = rows.children(messages)
    plain = pc.and_(
        pc.is_in(fields["role"], value_set=rows.strings(["system", "user", "assistant"])), fields["content"].is_valid()
    )
    for name in set(fields) - {"role", "content"}:
        plain = pc.and_(plain, fields[name].is_null())
    odd = rows.parents(messages).filter(pc.invert(plain))
    answers = rows.parents(messages).filter(
        pc.coalesce(pc.equal(fields["role"], rows.scalar("assistant")), rows.scalar(False))
    )
    here = rows.integers(range(batch.num_rows))
    answered = pc.is_in(here, value_set=answers.cast(here.type))
    with_tools = rows.column(batch, "tools").is_valid()
    suspect = pc.or_(pc.or_(pc.is_in(here, value_set=odd.cast(here.type)), pc.invert(answered)), with_tools)
    last = _last_roles(messages, fields["role"])
    return batch.filter(pc.or_(suspect, pc.coalesce(pc.not_equal(last, rows.scalar("assistant")), rows.scalar(True))))


def _last_roles(messages: pa.Array, roles: pa.Array) -> pa.Array:
    """The role of each row's last message; null where there is no message."""
    import pyarrow.compute as pc

    lengths = pc.coalesce(messages.value_lengths(), rows.scalar(0))
    ends = pc.subtract(pc.cumulative_sum(lengths), rows.scalar(1))
    some = pc.greater(lengths, rows.scalar(0))
    return roles.take(pc.if_else(some, ends, rows.integers([None])[0]))


def row_problems(row: Mapping[str, Any], answered: bool = True) -> Iterator[str]:
    """Everything that is wrong with one formatted row. With `answered` it must hold an assistant's message."""
    messages = row.get("messages")
    if messages is None:
        yield "the row has no messages: a `format` makes them of its columns"
        return
    if not messages:
        yield "the list of messages is empty"
        return
    open_calls: set[str] = set()
    for number, message in enumerate(messages, 1):
        yield from (f"message {number} {problem}" for problem in _message_problems(message))
        yield from (f"message {number} {problem}" for problem in _call_problems(message, open_calls))
    yield from _end_problems(messages, answered)
    yield from _tools_problems(row.get("tools"))


def _end_problems(messages: list[dict[str, Any]], answered: bool) -> Iterator[str]:
    if not answered:
        return
    if not any(message.get("role") == "assistant" for message in messages):
        yield "no message of the assistant: there is nothing to learn"
    elif messages[-1].get("role") != "assistant":
        yield "the last message is not the assistant's"
    elif all(message.get("weight") == 0 for message in messages if message.get("role") == "assistant"):
        yield "every message of the assistant has weight 0: there is nothing to learn"


def _message_problems(message: Mapping[str, Any]) -> Iterator[str]:
    unknown = [key for key in message if key not in KEYS.split(", ")]
    if unknown:
        yield f"has unknown key{'s'[: len(unknown) != 1]} {', '.join(map(_quoted, unknown))}; keys are {KEYS}"
    role = message.get("role")
    if role is None:
        yield "has no role"
    elif role not in ROLES:
        yield f"has unknown role {_quoted(role)}; roles are {', '.join(ROLES)}"
    yield from _content_problems(message)
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        yield f"has name {_quoted(name)}: 1 to 64 letters, digits, '_' or '-' are allowed"
    weight = message.get("weight")
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        yield f"has weight {_quoted(weight)}: only 0 and 1 are allowed"
    elif weight is not None and role != "assistant":
        yield "has a weight: only the assistant's messages are trained on"


def _content_problems(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if content is None or content == []:
        if not message.get("tool_calls"):
            yield "has no content"
    elif isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                yield "has a part without a type"
            elif part["type"] == "text" and not isinstance(part.get("text"), str):
                yield "has a text part without text"
    elif not isinstance(content, str):
        yield "has a content that is neither text nor a list of parts"


def _call_problems(message: Mapping[str, Any], open_calls: set[str]) -> Iterator[str]:
    """`open_calls` holds the ids of calls made so far and not yet answered."""
    role, calls = message.get("role"), message.get("tool_calls")
    if role != "tool" and open_calls and message.get("role") == "assistant":
        yield f"comes before call {_quoted(min(open_calls))} was answered by a tool message"
        open_calls.clear()
    if calls is not None and role != "assistant":
        yield "has tool_calls: only the assistant calls tools"
    elif calls is not None:
        yield from _calls_problems(calls, open_calls)
    answer = message.get("tool_call_id")
    if role == "tool" and answer is None:
        yield "is a tool's answer without tool_call_id"
    elif role == "tool" and answer not in open_calls:
        yield f"answers call {_quoted(answer)}, which no earlier message makes"
    elif answer is not None and role != "tool":
        yield "has a tool_call_id: only tool messages answer calls"
    open_calls.discard(answer or "")


def _calls_problems(calls: Any, open_calls: set[str]) -> Iterator[str]:
    if not isinstance(calls, list) or not calls:
        yield "has tool_calls that are not a list with calls"
        return
    for call in calls:
        problem = _call_problem(call)
        if problem:
            yield problem
        if isinstance(call, Mapping) and isinstance(call.get("id"), str):
            if call["id"] in open_calls:
                yield f"makes two calls with id {_quoted(call['id'])}"
            open_calls.add(call["id"])


def _call_problem(call: Any) -> str:
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str):
        return "has a tool call without an id"
    inner = call.get("function")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return "has a tool call without a function name"
    if not _is_object(inner.get("arguments")):
        return f"calls {_quoted(inner['name'])} with arguments that are not a JSON object"
    return ""


def _is_object(arguments: Any) -> bool:
    if not isinstance(arguments, str):
        return isinstance(arguments, Mapping)
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _tools_problems(tools: Any) -> Iterator[str]:
    for number, tool in enumerate(tools or (), 1):
        inner = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            yield f"tool {number} has no function with a name"


def _quoted(value: Any) -> str:
    """A value from the data, short enough to be shown."""
    text = value if isinstance(value, str) else rows.to_json(value)
    return f"'{text[:40]}{'…' * (len(text) > 40)}'"


HELD_OUT = {"validation": ("train",), "test": ("train", "validation"), "prompt": ("train", "validation")}


class Asked(NamedTuple):
    """What each row of a batch asks, as a key; its number and its side."""

    keys: pa.Array
    numbers: pa.Array
    sides: pa.Array


@api.check
def leakage() -> api.Check:
    """Find rows of validation, test and evaluation whose question was trained on (or chosen by).

    Questions are the messages before the last answer, compared without case and white space.
    """

    def measure(batch: pa.RecordBatch) -> Asked:
        asked = rows.strings([_question(example) for example in rows.examples(batch)])
        keys = rows.fingerprints(_one_column(asked))
        return Asked(keys, batch.column(rows.ROW), batch.column(rows.SIDE))

    return api.Check(measure, _leaks)


def _one_column(texts: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([texts], names=["question"])


def _question(example: api.Example) -> str:
    messages = example.messages
    while messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    said = [
        (
            each.role,
            content.casefold().split() if isinstance(content := each.content, str) else content,
            each.tool_calls,
        )
        for each in messages
    ]
    return rows.to_json(said)


def _leaks(measured: list[Asked]) -> Iterator[api.Finding]:
    """Only keys that stand on more than one side become Python objects: most rows stay in Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not measured:
        return
    keys, numbers, sides = (pa.concat_arrays(list(column)) for column in zip(*measured, strict=True))
    trained = pc.equal(sides, rows.scalar("train"))
    suspects = keys.filter(pc.invert(trained))
    shared = pc.or_(pc.invert(trained), pc.is_in(keys, value_set=suspects))
    first: dict[tuple[bytes, str], int] = {}
    for key, number, side in _listed(keys, numbers, sides, shared):
        first.setdefault((key, side), number)
    for key, number, side in _listed(keys, numbers, sides, shared):
        for other in HELD_OUT.get(side, ()):
            if (key, other) in first:
                yield _leak(number, side, first[key, other], other)
                break


def _listed(keys: pa.Array, numbers: pa.Array, sides: pa.Array, mask: pa.Array) -> Iterable[tuple[bytes, int, str]]:
    return zip(*(column.filter(mask).to_pylist() for column in (keys, numbers, sides)), strict=True)


def _leak(number: int, side: str, other: int, other_side: str) -> api.Finding:
    place = "an evaluation prompt" if side == "prompt" else f"in {side}"
    return api.Finding(
        message=f"asks what {rows.mention(other)} asks: that row is in {other_side}, this one is {place}",
        hint="deduplicate by the column that makes the question, or split `by` a column that such rows share",
        row=number,
    )


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (format_, min_examples, leakage)}
