"""Rows as the JSON lines that the service reads, and what it would refuse, found before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from ftspec import api, hosted
from ftspec.hosted import Unfit

CONTROL_TOKENS = tuple(
    f"<|{name}|>"
    for name in (
        "endoftext", "endofprompt", "startoftext", "im_start", "im_end", "im_sep", "fim_prefix", "fim_middle",
        "fim_suffix", "start", "end", "message", "channel", "return", "call", "constrain", "refusal", "diff_marker",
    )
)  # fmt: skip
"""Control tokens of the models' encodings: one inside a text has made jobs fail after hours."""
CONTROL = re.compile("|".join(map(re.escape, CONTROL_TOKENS)))
ROLES = {"system", "developer", "user", "assistant", "tool"}


class Totals(Protocol):
    """Adds up the tokens of examples: see `tokens.Totals`."""

    def most(self, example: api.Example) -> int:
        """No fewer tokens than the example has."""
        ...

    def one(self, example: api.Example) -> int:
        """The tokens of one example."""
        ...

    def add(self, example: api.Example) -> None: ...

    def both(self) -> tuple[int, int]:
        """(all tokens, trained tokens) of what was added."""
        ...


class Lines:
    """Makes a line of a row, and counts tokens as it goes.

    Args:
        shape: what the rows are: "chat", "preference" or "reinforcement".
        totals: None where there is no tokenizer.
        longest: most tokens of a row, None where nobody says.
    """

    def __init__(self, shape: str, totals: Totals | None = None, longest: int | None = None) -> None:
        self.make, self.totals, self.longest = LINES[shape], totals, longest

    def line(self, example: api.Example) -> dict[str, Any]:
        """The row as it is sent. Raises Unfit."""
        for message in (*example.messages, *(example.chosen or ()), *(example.rejected or ())):
            _check(message)
        line = self.make(example)
        if self.totals:
            self._check_length(example, self.totals)
            self.totals.add(example)
        return line

    def _check_length(self, example: api.Example, totals: Totals) -> None:
        if self.longest is None or totals.most(example) <= self.longest:
            return
        tokens = totals.one(example)
        if tokens > self.longest:
            raise Unfit(
                f"the row has about {tokens:,} tokens, and the service would cut it off after {self.longest:,}",
                "shorten it, or drop such rows with `length` in `cleaning`",
            )

    def written(self, written: api.Written) -> api.Written:
        """The counts with tokens, where they were counted."""
        if self.totals is None:
            return written
        tokens, trained = self.totals.both()
        return msgspec.structs.replace(written, tokens=tokens, trained_tokens=trained)


def _chat(example: api.Example) -> dict[str, Any]:
    if not any(message.role == "assistant" and message.weight != 0 for message in example.messages):
        raise Unfit(
            "nothing in this row is trained on: no assistant message with a weight above 0",
            "give the row an assistant message, or drop it in `cleaning`",
        )
    return {"messages": [_message(message) for message in example.messages], **_tools(example)}


def _preference(example: api.Example) -> dict[str, Any]:
    if not example.chosen or not example.rejected:
        raise Unfit(
            "the row is no preference pair", "give it a chosen and a rejected answer: see `preference` in `format`"
        )
    sides = {"preferred_output": example.chosen, "non_preferred_output": example.rejected}
    for side in sides.values():
        if [message.role for message in side] != ["assistant"]:
            raise Unfit("an answer to be compared must be one assistant message", "split longer ones, or drop the row")
    if example.chosen == example.rejected:
        raise Unfit("the chosen and the rejected answer are the same", hosted.DROP)
    return {
        "input": {"messages": [_message(message) for message in example.messages], **_tools(example)},
        **{name: [_message(message) for message in side] for name, side in sides.items()},
    }


def _reinforcement(example: api.Example) -> dict[str, Any]:
    if not example.messages or example.messages[-1].role != "user":
        raise Unfit(
            "the messages must end with the user's",
            "answers to compare with belong into other columns, which graders see as {{ item.column }}",
        )
    item = example.item or {}
    if taken := sorted({"messages", "tools"} & set(item)):
        raise Unfit(f"column '{taken[0]}' of the item has a name that the service uses itself", "rename the column")
    return {"messages": [_message(message) for message in example.messages], **_tools(example), **item}


LINES: dict[str, Callable[[api.Example], dict[str, Any]]] = {
    "chat": _chat,
    "preference": _preference,
    "reinforcement": _reinforcement,
}


def _check(message: api.Message) -> None:
    """What no message may be, whatever the shape of its row. Raises Unfit."""
    if message.role not in ROLES:
        raise Unfit(f"the service knows no role '{message.role[:40]}'", f"roles are {', '.join(sorted(ROLES))}")
    if message.weight not in (None, 0, 1):
        raise Unfit(f"a message has a weight of {message.weight:g}", "the service takes 0 and 1 only")
    if message.weight is not None and message.role != "assistant":
        raise Unfit(f"a message of role '{message.role}' has a weight", "only the assistant's messages may have one")
    if found := CONTROL.search(text_of(message)):
        raise Unfit(
            f"a text holds the model's control token {found[0]}",
            "such a row has made jobs fail after hours: take it out, e.g. with `replace` in `cleaning`",
        )


def text_of(message: api.Message) -> str:
    """All texts of a message: its content, and its tool calls as JSON."""
    content = message.content if isinstance(message.content, str) else _json(message.content)
    return content + _json(message.tool_calls)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _message(message: api.Message) -> dict[str, Any]:
    """The message in the API's words; a weight as the whole number that it takes."""
    fields = hosted.chat_message(message, weights=True)
    return fields if message.weight is None else {**fields, "weight": int(message.weight)}


def _tools(example: api.Example) -> dict[str, Any]:
    return {"tools": example.tools} if example.tools else {}
