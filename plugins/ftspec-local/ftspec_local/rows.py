"""The local provider's own file format, JSON lines of ftspec's examples, and rows as token ids.

A line is {"messages": [...], "tools": [...]}, and of a preference pair also "chosen" and "rejected".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftspec_local.options import Hyperparameters, Sft
from ftspec_local.render import Rendered, Renderer, RenderError


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the file's rows."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def tokenize(renderer: Renderer, row: Mapping[str, Any], hyperparameters: Hyperparameters, sft: Sft) -> Rendered:
    """One row as the model is trained on it. Raises RenderError, also for a row that is too long."""
    rendered = renderer.example(row["messages"], row.get("tools"), sft.train_on)
    return _fitting(rendered, hyperparameters)


class Pair(NamedTuple):
    """A preference pair as the model is trained on it: the prompt, and what either answer adds to it."""

    prompt: Rendered
    chosen: Rendered
    rejected: Rendered

    @property
    def tokens(self) -> int:
        """Tokens that training sees: the prompt counts twice, once with each answer."""
        return 2 * len(self.prompt.ids) + len(self.chosen.ids) + len(self.rejected.ids)


def pair(renderer: Renderer, row: Mapping[str, Any], hyperparameters: Hyperparameters) -> Pair:
    """One preference pair as the model is trained on it. Raises RenderError."""
    whole = [_answered(renderer, row, name, hyperparameters) for name in ("chosen", "rejected")]
    start = min(_shared(*(each.ids for each in whole)), *(each.trained.index(True) for each in whole))
    chosen, rejected = (
        Rendered(each.ids[start:], [True] * len(each.ids[start:]), each.texts[start:]) for each in whole
    )
    return Pair(_cut(whole[0], 0, start), chosen, rejected)


def _answered(renderer: Renderer, row: Mapping[str, Any], name: str, hyperparameters: Hyperparameters) -> Rendered:
    """The prompt with one of its answers, up to the answer's end."""
    answer = row[name]
    if len(answer) != 1:
        raise RenderError(
            f"the {name} answer has {len(answer)} messages, and the local provider compares single ones",
            "let the prompt go on until the message in which the answers differ",
        )
    rendered = renderer.example([*row["messages"], *answer], row.get("tools"), "last")
    end = len(rendered.ids) - rendered.trained[::-1].index(True)
    return _fitting(_cut(rendered, 0, end), hyperparameters)


def _shared(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _cut(rendered: Rendered, start: int, end: int) -> Rendered:
    return Rendered(rendered.ids[start:end], rendered.trained[start:end], rendered.texts[start:end])


def _fitting(rendered: Rendered, hyperparameters: Hyperparameters) -> Rendered:
    """The row, or as much of it as may be seen. Raises RenderError."""
    length, limit = len(rendered.ids), hyperparameters.max_length
    if length <= limit:
        return rendered
    if not hyperparameters.truncate:
        raise RenderError(
            f"the row has {length} tokens, more than max_length ({limit})",
            f"raise hyperparameters.max_length to {length}, drop long rows in a cleaning step, or set `truncate: true`",
        )
    if not any(rendered.trained[:limit]):
        raise RenderError(
            f"cut to {limit} tokens, nothing of the row is trained on", "raise hyperparameters.max_length"
        )
    return _cut(rendered, 0, limit)
