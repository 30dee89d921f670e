"""Rows and prompts of any shape to tune and to ask with: things that have a colour."""

from __future__ import annotations

from typing import Any

import msgspec

from ftspec import rows
from ftspec.common.messages import Example, Message, Prompt
from ftspec.layout.shapes import ANSWERS, COLUMNS, Shape

COLOURS = ("red", "green", "blue", "white")


def batch_of(shape: Shape, count: int, start: int = 0) -> Any:
    """Formatted rows as the pipeline hands them to `write`, of a method that trains on this shape."""
    numbers = range(start, start + count)
    batch = rows.from_dicts([msgspec.to_builtins(example(shape, number)) for number in numbers], ANSWERS)
    named = [name for name in COLUMNS[shape] if name in batch.schema.names]
    return batch.select(named).append_column(rows.ROW, rows.integers([number + 1 for number in numbers]))


def example(shape: Shape, number: int) -> Example:
    colour, other = (COLOURS[at % len(COLOURS)] for at in (number, number + 1))
    asked = [Message(role="user", content=f"What colour is thing {number}?")]
    said, not_said = ([Message(role="assistant", content=text)] for text in (colour, other))
    if shape == "preference":
        return Example(messages=asked, chosen=said, rejected=not_said, row=number)
    if shape == "reinforcement":
        return Example(messages=asked, item={"expected": colour, "number": number}, row=number)
    return Example(messages=[*asked, *said], row=number)


def prompt(number: int) -> Prompt:
    said = example("chat", number).messages
    return Prompt(id=f"prompt-{number}", messages=said[:1], expected=str(said[1].content))
