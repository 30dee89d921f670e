"""Evaluation prompts: what the models are asked, and what is expected."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import rows
from ftspec.common.messages import Example, Message, Prompt
from ftspec.common.records import Record
from ftspec.costs.costs import most_tokens, row_tokens
from ftspec.files.kept import Kept
from ftspec.layout import shapes

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "prompts.jsonl"
CHAT_COLUMNS = ("messages", "tools")


def of_batch(before: pa.RecordBatch, formatted: pa.RecordBatch, sides: Sequence[str]) -> list[tuple[int, Prompt]]:
    """(row, prompt) for the rows on these sides; `before` holds the same rows' columns, cleaned and not formatted."""
    import pyarrow.compute as pc

    mask = pc.is_in(formatted.column(rows.SIDE), value_set=rows.strings(list(sides)))
    examples = rows.examples(formatted.filter(mask))
    columns = rows.to_dicts(before.filter(mask))
    return [(example.row, prompt_of(example, row)) for example, row in zip(examples, columns, strict=True)]


def prompt_of(example: Example, row: dict[str, Any]) -> Prompt:
    """The example without its last assistant message, which is what is expected.

    Of a preference pair the better answer is; of a reinforcement item what it calls `expected`, if it does. The row's
    columns are sorted: their order in a batch depends on which rows came first.
    """
    asked, expected = list(example.messages), None
    if example.chosen:
        answer = shapes.expected(example.chosen)
        expected = _expected(answer) if answer else None
    elif asked and asked[-1].role == "assistant":
        expected = _expected(asked.pop())
    elif example.item and example.item.get("expected") is not None:
        right = example.item["expected"]
        expected = right if isinstance(right, str) else rows.to_json(right)
    asked = [msgspec.structs.replace(message, weight=None) for message in asked]
    kept = {name: row[name] for name in sorted(row) if name not in CHAT_COLUMNS}
    identity = hashlib.sha256(msgspec.json.encode([asked, example.tools, expected], order="sorted")).hexdigest()
    return Prompt(id=identity[:32], messages=asked, tools=example.tools, expected=expected, row=kept)


def _expected(answer: Message) -> str | None:
    """The answer's text, or its tool calls as JSON with sorted keys and decoded arguments, or its parts as JSON."""
    if answer.tool_calls:
        return rows.calls_text(answer.tool_calls)
    if answer.content is None or isinstance(answer.content, str):
        return answer.content
    return msgspec.json.encode(answer.content, order="sorted").decode()


OMITTED = {"tags": (), "weight": 1.0}
"""Fields of a Prompt that came later: left out where they say nothing, or the file's sha256, and with it the digests of
answers that are paid for, would change with an upgrade."""


class PromptsFile:
    """`prompts.jsonl`, written as prompts come; memory holds 16 bytes and a row number of each."""

    def __init__(self, folder: Path) -> None:
        self.file = (folder / FILE).open("wb")
        self.rows: dict[bytes, int] = {}
        self.tokens = self.row_tokens = 0

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: int, prompt: Prompt) -> int:
        """Write the prompt unless the same is there; the number of the row that it stands for."""
        first = self.rows.setdefault(bytes.fromhex(prompt.id), row)
        if first == row:
            self.tokens += most_tokens(prompt)
            self.row_tokens += row_tokens(prompt)
            self.file.write(msgspec.json.encode(_kept(prompt)) + b"\n")
        return first

    def close(self) -> None:
        self.file.close()


def _kept(prompt: Prompt) -> dict[str, Any]:
    fields = {name: getattr(prompt, name) for name in prompt.__struct_fields__}
    return {name: value for name, value in fields.items() if name not in OMITTED or value != OMITTED[name]}


class Prompts(Kept[Prompt]):
    """The prompts of a file, each id once, in the rows' order."""

    def __init__(self, path: Path) -> None:
        file = path.open("rb")
        starts, ends = array("Q"), array("Q")
        seen: set[str] = set()
        end = 0
        for line in file:
            start, end = end, end + len(line)
            identity = msgspec.json.decode(line, type=_Named).id
            if identity not in seen:
                seen.add(identity)
                starts.append(start)
                ends.append(end)
        super().__init__(Prompt, file, starts, ends)


class _Named(Record):
    id: str


def load_prompts(folder: Path) -> Prompts:
    """The prompts that `pipeline.prepare` left in the folder."""
    return Prompts(folder / FILE)
