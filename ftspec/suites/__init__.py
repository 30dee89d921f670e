"""Sets of items that ship with ftspec: what a gate measures beside the spec's own prompts.

general.jsonl: short questions that a small instruct model answers in good part (facts, completions, sums, copying,
classes, formats), to see what tuning made it forget. Written for ftspec; licence CC0-1.0 (general.LICENSE beside it).
One object a line: `id`, `kind`, `ask`, `accept` (any of these passes, where it stands as whole words, in any case; one
that starts with "=" in just this case), `reject` (none of these may stand there).
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path

import msgspec

from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Generation, Message, Prompt
from ftspec.common.records import Record

HERE = Path(__file__).parent
TEMPLATE = 64
"""Tokens that a chat template adds to a prompt, generously."""


class Item(Record):
    """One line of a suite's file."""

    id: str
    kind: str
    ask: str
    accept: tuple[str, ...]
    reject: tuple[str, ...] = ()


class Suite(msgspec.Struct, frozen=True):
    """Prompts, tagged with the suite's name and their kind, and how they are asked: once, greedily, briefly."""

    name: str
    sha256: str
    prompts: tuple[Prompt, ...]
    items: dict[str, Item]
    generation: Generation

    @property
    def prompt_tokens(self) -> int:
        """At most so many tokens are in all prompts together: a token is at least a byte, a template some more."""
        return sum(len(item.ask.encode()) + TEMPLATE for item in self.items.values())

    def grade(self, prompt: Prompt, answer: Answer) -> Grade:
        """The grader of the suite's prompts."""
        item = self.items[prompt.id]
        return judged(answer.text, item.accept, item.reject)


def load(name: str) -> Suite:
    """The suite of this name."""
    content = (HERE / f"{name}.jsonl").read_bytes()
    items = [msgspec.json.decode(line, type=Item) for line in content.splitlines()]
    prompts = tuple(map(partial(_prompt, name), items))
    return Suite(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        prompts=prompts,
        items={prompt.id: item for prompt, item in zip(prompts, items, strict=True)},
        generation=Generation(temperature=0.0, max_tokens=32),
    )


def _prompt(suite: str, item: Item) -> Prompt:
    return Prompt(
        id=f"{suite}-{item.id}",
        messages=[Message(role="user", content=item.ask)],
        expected=item.accept[0].removeprefix("="),
        origin=f"{suite}:{item.id}",
        tags=(suite, item.kind),
    )


def judged(text: str, accept: tuple[str, ...], reject: tuple[str, ...]) -> Grade:
    """Whether the text says what is accepted, and nothing that is rejected."""
    if wrong := next((one for one in reject if _says(text, one)), None):
        return Grade(passed=False, reason=f"says '{wrong}'")
    if any(_says(text, one) for one in accept):
        return Grade(passed=True)
    return Grade(passed=False, reason=f"does not say '{accept[0].removeprefix('=')}'")


def _says(text: str, words: str) -> bool:
    """Whether the words stand in the text as whole words, whatever the spaces and quotes between and around them."""
    flags = 0 if words.startswith("=") else re.IGNORECASE
    pattern = r"\s+".join(map(re.escape, words.removeprefix("=").split()))
    return re.search(rf"(?<![\w.]){pattern}(?!\w)", text, flags) is not None
