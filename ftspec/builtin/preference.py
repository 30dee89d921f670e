"""Formats for methods that learn from something else than conversations: preference pairs and reinforcement items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin import templates
from ftspec.builtin.formats import ROLES
from ftspec.builtin.templates import MARKS, Template

if TYPE_CHECKING:
    import pyarrow as pa

CODE = ["ftspec.builtin.formats", "ftspec.builtin.templates"]

Messages = list[dict[str, Any]]
MISSING = "column '{}' is missing or null"


class Part(msgspec.Struct, frozen=True):
    """What one option says of every row: messages, None where there are none, and faults by row index."""

    values: list[Messages | None]
    faults: dict[int, str]


def _part(batch: pa.RecordBatch, option: str, role: str) -> Part:
    """The option's messages: of a template, or of the column that it names."""
    if MARKS.search(option):
        texts, faults = Template(option).render(batch)
        said = [None if text is None else [{"role": role, "content": text}] for text in texts.to_pylist()]
        return Part(said, faults)
    values: list[Messages | None] = []
    faults = {}
    for index, value in enumerate(rows.values(batch, option)):
        try:
            values.append(rows.conversation(value, role, option))
        except rows.Fault as fault:
            values.append(None)
            faults[index] = str(fault)
        else:
            if value is None:
                faults[index] = MISSING.format(option)
    return Part(values, faults)


def preference_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Every template must parse."""
    for name in ("system", "prompt", "chosen", "rejected"):
        if message := templates.problem(options[name]):
            yield (name,), message
    for name in ("chosen", "rejected"):
        if not options[name]:
            yield (name,), f"`{name}` is empty: name a column, or write a template"


@api.format(rules=[preference_rule], data="preference", code=CODE)
def preference(*, prompt: str = "", chosen: str = "chosen", rejected: str = "rejected", system: str = "") -> api.Format:
    """Make preference pairs: a prompt, a better answer and a worse one.

    Each option is a template, or the name of a column that holds text or messages. Where `chosen` and `rejected` are
    whole conversations, their common beginning is the prompt. Without `prompt` it is a row's `messages`, or its column
    `prompt`. `system`, a template, stands before every prompt. Rows in OpenAI's or TRL's own shape need no format.
    """

    def format_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
        asked = _asked(batch, prompt)
        better, worse = _part(batch, chosen, "assistant"), _part(batch, rejected, "assistant")
        opening = _part(batch, system, "system") if MARKS.search(system) else _constant(batch, system)
        pairs = [rows.apart(*each) for each in zip(asked.values, better.values, worse.values, strict=True)]
        faults = {**_unless_prompts(batch, {**worse.faults, **better.faults}), **opening.faults}
        faults |= {index: fault for index, fault in asked.faults.items() if pairs[index][0] is None}
        if faults:
            raise api.DataError(templates.findings(batch, faults))
        said = [_opened(first, messages) for first, (messages, _, _) in zip(opening.values, pairs, strict=True)]
        answers = {"chosen": [each[1] for each in pairs], "rejected": [each[2] for each in pairs]}
        return _made(batch, {"messages": said, **answers}, {})

    return format_rows


def _asked(batch: pa.RecordBatch, option: str) -> Part:
    """The prompt: what the option says, or a row's own `messages` or `prompt`."""
    if option:
        return _part(batch, option, "user")
    own, other = _part(batch, "messages", "user"), _part(batch, "prompt", "user")
    values = [one if one is not None else two for one, two in zip(own.values, other.values, strict=True)]
    return Part(values, {index: other.faults.get(index, "") for index, value in enumerate(values) if value is None})


def _constant(batch: pa.RecordBatch, text: str) -> Part:
    return Part([[{"role": "system", "content": text}] if text else None] * batch.num_rows, {})


def _opened(opening: Messages | None, messages: Messages | None) -> Messages | None:
    return [*(opening or ()), *messages] if messages is not None else None


def _unless_prompts(batch: pa.RecordBatch, faults: dict[int, str]) -> dict[int, str]:
    """Faults of rows that are trained on: an evaluation prompt may lack its answers."""
    sides = rows.column(batch, rows.SIDE).to_pylist()
    return {index: fault for index, fault in faults.items() if sides[index] != "prompt"}


def _made(
    batch: pa.RecordBatch, conversations: Mapping[str, list[Messages | None]], others: Mapping[str, pa.Array]
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = {name: rows.cell(name, values, conversations=True) for name, values in conversations.items()}
    columns |= {"tools": rows.column(batch, "tools"), **others, **rows.hidden(batch)}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def reinforcement_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Either `user` or `turns`, the last of which is the user's; every template must parse."""
    turns = options["turns"]
    if turns and options["user"]:
        yield ("turns",), "`turns` says the whole conversation: leave out `user`"
    for name in ("system", "user", "expected"):
        if message := templates.problem(options[name]):
            yield (name,), message
    for index, turn in enumerate(turns):
        for role, text in turn.items():
            if role not in ROLES:
                yield ("turns", index, role), f"unknown role '{role}'; roles are {', '.join(ROLES)}"
            if message := templates.problem(text):
                yield ("turns", index, role), message
        if len(turn) != 1:
            yield ("turns", index), "a turn is one role and its template, e.g. `user: '{{ question }}'`"
    if turns and list(turns[-1]) != ["user"]:
        yield ("turns", len(turns) - 1), "the last turn must be the user's: the model answers it, and is graded"


@api.format(rules=[reinforcement_rule], data="reinforcement", code=CODE)
def reinforcement(
    *,
    system: str = "",
    user: str = "",
    turns: list[dict[str, str]] = [],
    keep: Annotated[list[str], Meta(description="Columns for graders; every column when empty.")] = [],
    expected: str = "",
) -> api.Format:
    """Make reinforcement items: messages that end with the user, and columns that graders look at.

    `system`, `user` and `turns` are templates; without `user` and `turns` a row's `messages` or its column `prompt` is
    the conversation. `expected`, a template or a column, is the right answer where there is one: it is kept in the item
    as `expected`, and the evaluation compares with it. Rows with `messages` and columns for graders need no format.
    """
    said = [(role, text) for turn in turns for role, text in turn.items()] or ([("user", user)] if user else [])

    def format_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
        parts = [_part(batch, text, role) if MARKS.search(text) else _said(batch, role, text) for role, text in said]
        parts = parts or [_asked(batch, "")]
        if system:
            parts.insert(0, _part(batch, system, "system") if MARKS.search(system) else _constant(batch, system))
        right = _right(batch, expected)
        lacking = _lacking(batch, keep)
        faults = {index: fault for part in reversed([*parts, right, lacking]) for index, fault in part.faults.items()}
        if faults:
            raise api.DataError(templates.findings(batch, faults))
        messages = [[each for part in parts for each in part.values[index] or ()] for index in range(batch.num_rows)]
        own = ("messages", "tools") if said else ("messages", "tools", "prompt")
        items = [_item(row, keep, own, part) for row, part in zip(rows.to_dicts(batch), right.values, strict=True)]
        return _made(batch, {"messages": list(messages)}, {"item": rows.json_texts([rows.to_json(it) for it in items])})

    return format_rows


def _said(batch: pa.RecordBatch, role: str, text: str) -> Part:
    """A turn of the same text in every row."""
    return Part([[{"role": role, "content": text}]] * batch.num_rows, {})


def _right(batch: pa.RecordBatch, option: str) -> Part:
    """The right answers, as `{"content": value}`; an evaluation prompt may lack one."""
    if not option:
        return Part([None] * batch.num_rows, {})
    if MARKS.search(option):
        part = _part(batch, option, "assistant")
        return Part(part.values, _unless_prompts(batch, part.faults))
    values = rows.values(batch, option)
    faults = {index: MISSING.format(option) for index, value in enumerate(values) if value is None}
    return Part([None if value is None else [{"content": value}] for value in values], _unless_prompts(batch, faults))


def _lacking(batch: pa.RecordBatch, keep: list[str]) -> Part:
    """Rows without a column that graders look at."""
    faults: dict[int, str] = {}
    for name in reversed(keep):
        empty = (index for index, value in enumerate(rows.values(batch, name)) if value is None)
        faults |= dict.fromkeys(empty, MISSING.format(name))
    return Part([], _unless_prompts(batch, faults))


def _item(row: Mapping[str, Any], keep: list[str], own: tuple[str, ...], right: Messages | None) -> dict[str, Any]:
    """The columns that graders look at: those of `keep`, or all that are not the conversation's `own`."""
    names = keep or [name for name in sorted(row) if name not in own]
    kept = {name: row[name] for name in names if name in row}
    return {**kept, "expected": right[0]["content"]} if right else kept


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (preference, reinforcement)}
