"""What counts as a token of the simulated tuner, and which of them it would train on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import api
from ftspec.builtin.simulated.options import TrainOn

if TYPE_CHECKING:
    from ftspec import rows

WORD = re.compile(r"\s*\S+")


def tokens(request: api.Request, example: api.Example) -> list[api.Token]:
    """A mark for each message's role, and its words. Of an item that graders judge nothing is trained on."""
    found = []
    for message, weight in _said(request, example):
        found.append(api.Token(text=f"<{message.role}>"))
        found += [api.Token(text=word, weight=weight) for word in WORD.findall(text_of(message))]
    return found


class Words:
    """What counts as a token here: a word, and a mark for each message's role."""

    special: tuple[str, ...] = ()
    per_byte = 1.0

    def __init__(self, request: api.Request) -> None:
        self.request = request

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(WORD.findall(text)) for text in texts]

    def cut(self, text: str, most: int) -> str:
        return "".join(WORD.findall(text)[:most])

    def row(self, example: api.Example) -> tuple[int, int]:
        found = tokens(self.request, example)
        return len(found), sum(1 for token in found if token.weight)


class Tally:
    """Counts what is written: rows, words and marks, and those that are trained on."""

    def __init__(self, request: api.Request) -> None:
        self.request = request
        self.rows = self.tokens = self.trained = 0
        self.findings: list[api.Finding] = []

    def count(self, part: rows.Part) -> list[bytes]:
        """Count a part; returns the lines of those of its rows that are not plain."""
        from ftspec import rows

        self.rows += len(part.places) + len(part.other_places)
        untrained = self._plain(part)
        lines = []
        for place, example in zip(part.other_places.tolist(), rows.examples(part.others), strict=True):
            counts = [(1 + len(text_of(message).split()), weight) for message, weight in _said(self.request, example)]
            learnt = sum(marked - 1 for marked, weight in counts if weight)
            if self.request.method == "sft" and not learnt:
                untrained.append((place, example.row))
            lines.append(_line(example))
            self.tokens, self.trained = self.tokens + sum(marked for marked, _ in counts), self.trained + learnt
        self.findings += [_untrained(row) for _, row in sorted(untrained)]
        return lines

    def _plain(self, part: rows.Part) -> list[tuple[int, int]]:
        """The same for the plain rows, all at once: (place, number) of those of which nothing is learnt."""
        said = part.plain
        words = said.words()
        self.tokens += int(words.sum()) + len(words)
        if self.request.method != "sft":
            return []
        learnt = said.per_row(words * _are_trained(said, self.request.method_options.get("train_on", "assistant")))
        self.trained += int(learnt.sum())
        return [(place, part.numbers[place].as_py()) for place in part.places[learnt == 0].tolist()]


def _line(example: api.Example) -> bytes:
    line: dict[str, Any] = {"messages": example.messages}
    if example.tools:
        line["tools"] = example.tools
    if example.chosen is not None:
        line = {"input": line, "preferred_output": example.chosen, "non_preferred_output": example.rejected}
    return msgspec.json.encode(line | (example.item or {})) + b"\n"


def _untrained(row: int) -> api.Finding:
    return api.Finding(
        message="nothing in this row is trained on: no assistant message with a weight above 0 and a text",
        hint="give the row an assistant message, or drop it in `cleaning`",
        row=row,
    )


def _said(request: api.Request, example: api.Example) -> list[tuple[api.Message, float]]:
    """The messages that are read, and the loss weight of each one's words."""
    if request.method != "sft":
        parts = [(example.messages, 0.0), (example.chosen or [], 1.0), (example.rejected or [], -1.0)]
        return [(message, weight) for messages, weight in parts for message in messages]
    train_on: TrainOn = request.method_options.get("train_on", "assistant")
    return list(zip(example.messages, _weights(example.messages, train_on), strict=True))


def text_of(message: api.Message) -> str:
    """What of a message is read: its text, other content and tool calls as JSON."""
    content = message.content if isinstance(message.content, str) else _json(message.content)
    if not message.tool_calls:
        return content.strip()
    return f"{content} {_json(message.tool_calls)}".strip()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _weights(messages: Sequence[api.Message], train_on: TrainOn) -> list[float]:
    """Each message's loss weight: its own where it has one and its role is trained on, 1 where it has none."""
    roles = [message.role for message in messages]
    if train_on == "last":
        last = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else -1
        chosen = [index == last for index in range(len(roles))]
    else:
        chosen = [train_on == "all" or role == "assistant" for role in roles]
    weights = [1.0 if message.weight is None else message.weight for message in messages]
    return [weight if trained else 0.0 for weight, trained in zip(weights, chosen, strict=True)]


def _are_trained(said: rows.Conversations, train_on: TrainOn) -> Any:
    """Of each message of plain rows, which have no weights of their own, whether its words are trained on."""
    import numpy as np

    if train_on == "all":
        return np.ones(len(said.row), np.bool_)
    answers = said.is_role("assistant")
    if train_on == "assistant":
        return answers
    last = np.full(said.count, -1)
    last[said.row[answers]] = np.flatnonzero(answers)  # of several for one place, NumPy keeps the last
    return last[said.row] == np.arange(len(said.row))
