"""Formats: how a row of columns becomes messages. Training, evaluation and serving all use the same one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import api, rows
from ftspec.builtin import templates
from ftspec.builtin.templates import Template

if TYPE_CHECKING:
    import pyarrow as pa

CODE = ["ftspec.builtin.templates"]

ROLES = ("system", "developer", "user", "assistant")


class Turn(NamedTuple):
    """One message of every row: its role, and one text per row (null where there is none)."""

    role: str
    texts: pa.Array
    faults: dict[int, str]


def chat_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Either `user` and `assistant`, or `turns`; every template must parse."""
    if options["turns"] and (options["user"] or options["assistant"]):
        yield ("turns",), "`turns` says the whole conversation: leave out `user` and `assistant`"
    if not options["turns"]:
        for name in ("user", "assistant"):
            if not options[name]:
                yield (), f"`{name}` is missing: a chat needs `user` and `assistant`, or `turns`"
    for name in ("system", "user", "assistant"):
        if message := templates.problem(options[name] or ""):
            yield (name,), message
    for index, turn in enumerate(options["turns"]):
        yield from _turn_problems(index, turn)


def _turn_problems(index: int, turn: Mapping[str, str]) -> Iterator[api.Clash]:
    if len(turn) != 1:
        yield ("turns", index), "a turn is one role and its template, e.g. `user: '{{ question }}'`"
    for role, text in turn.items():
        if role not in ROLES:
            yield ("turns", index, role), f"unknown role '{role}'; roles are {', '.join(ROLES)}"
        if message := templates.problem(text):
            yield ("turns", index, role), message


@api.format(rules=[chat_rule], code=CODE)
def chat(*, system: str = "", user: str = "", assistant: str = "", turns: list[dict[str, str]] = []) -> api.Format:
    """Make chat messages of a row's columns with templates.

    `system` stands before every conversation. `turns` is a list of `role: template` for more than one exchange. An
    evaluation prompt may lack the columns of the last assistant message: it then has no expected answer.
    """
    said = [(role, text) for turn in turns for role, text in turn.items()] or [("user", user), ("assistant", assistant)]
    parts = [(role, Template(text)) for role, text in ([("system", system)] if system else []) + said]

    def format_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
        return assemble(batch, [Turn(role, *template.render(batch)) for role, template in parts])

    return format_rows


@api.format(code=CODE)
def prompt_completion(
    *, prompt: str = "prompt", completion: str = "completion", system: str = "", separator: str = "", stop: str = ""
) -> api.Format:
    """Read legacy prompt/completion pairs as one exchange.

    `separator` and `stop` are the fixed endings that such files put after each prompt and completion: they are taken
    off, and so is white space around the texts.
    """

    def format_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
        asked = _pair_turn(batch, "user", prompt, separator)
        answered = _pair_turn(batch, "assistant", completion, stop)
        opening = [Turn("system", rows.repeated(system, batch.num_rows), {})] if system else []
        return assemble(batch, [*opening, asked, answered])

    return format_rows


def _pair_turn(batch: pa.RecordBatch, role: str, column: str, ending: str) -> Turn:
    import pyarrow.compute as pc

    texts = rows.as_text(rows.column(batch, column)).to_pylist()
    bare = rows.strings([None if text is None else _without(text, ending) for text in texts])
    missing = pc.indices_nonzero(pc.is_null(bare)).to_pylist()
    return Turn(role, bare, dict.fromkeys(missing, f"column '{column}' is missing or null"))


def _without(text: str, ending: str) -> str:
    """The text without its ending, which may itself begin or end with white space."""
    if ending and text.endswith(ending):
        text = text[: -len(ending)]
    elif ending.strip():
        text = text.rstrip().removesuffix(ending.strip())
    return text.strip()


def assemble(batch: pa.RecordBatch, turns: list[Turn]) -> pa.RecordBatch:
    """The batch with its turns as messages. Raises DataError for rows that have no text for one."""
    open_rows = _open_rows(batch, turns)
    faults = {index: reason for turn in reversed(turns) for index, reason in turn.faults.items()}
    bad = {index: reason for index, reason in faults.items() if index not in open_rows}
    if bad:
        raise api.DataError(templates.findings(batch, bad))
    if open_rows:
        messages = rows.cell("messages", list(_each_row(turns)))
    else:
        messages = rows.interleave([turn.role for turn in turns], [turn.texts for turn in turns])
    return _formatted(batch, messages)


def _open_rows(batch: pa.RecordBatch, turns: list[Turn]) -> set[int]:
    """Evaluation prompts that lack nothing but the last message, the answer."""
    if turns[-1].role != "assistant" or not turns[-1].faults or rows.SIDE not in batch.schema.names:
        return set()
    needed = set().union(*(turn.faults for turn in turns[:-1]))
    sides = batch.column(rows.SIDE).to_pylist()
    return {index for index in turns[-1].faults if sides[index] == "prompt" and index not in needed}


def _each_row(turns: list[Turn]) -> Iterator[list[dict[str, str]]]:
    for texts in zip(*(turn.texts.to_pylist() for turn in turns), strict=True):
        said = zip(turns, texts, strict=True)
        yield [{"role": turn.role, "content": text} for turn, text in said if text is not None]


def _formatted(batch: pa.RecordBatch, messages: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa

    columns = {"messages": messages, "tools": rows.column(batch, "tools"), **rows.hidden(batch)}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (chat, prompt_completion)}
