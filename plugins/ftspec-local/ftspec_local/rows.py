"""The local provider's own file format: JSON lines of {"messages": [...], "tools": [...]}, and rows as token ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
    return Rendered(rendered.ids[:limit], rendered.trained[:limit], rendered.texts[:limit])
