"""What is said of OpenAI's models: which can be tuned how, and how long a row may be. Dated data, in models.json.

Every entry names its sources. The methods have not been looked up, so a model that they contradict is a warning only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from ftspec import api

HOST = "//api.openai.com"
DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
REASONING = re.compile(r"(ft:)?(o\d|gpt-[5-9])")
"""Models that think before they answer, and take no temperature, top_p or stop."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One model: methods by which it can be tuned, most tokens of a row (None: not known), and who says so."""

    methods: tuple[str, ...]
    source: str
    longest: int | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """`see` is the page that says what holds today."""

    as_of: str
    see: str
    models: dict[str, Known]


@cache
def table() -> Table:
    return msgspec.json.decode((Path(__file__).parent / "models.json").read_bytes(), type=Table)


def known(model: str) -> Known | None:
    """What is known of a model, or of the one that it was tuned from (ft:base:org:suffix:id); its date is left out."""
    base = model.split(":")[1] if model.startswith("ft:") and ":" in model[3:] else model
    return table().models.get(DATED.sub("", base))


def problems(request: api.Request) -> Iterator[api.Problem]:
    """A warning for a model that the table does not have, or not with this method."""
    found = known(request.model.id)
    if found is None:
        names = ", ".join(name for name, model in table().models.items() if request.method in model.methods)
        yield api.Problem(
            message=f"'{request.model.id}' is none of the models that we know to be tuned at OpenAI",
            hint=f"by {request.method} we know of {names}; see {table().see}",
            path=("model",),
            severity="warning",
        )
    elif request.method not in found.methods:
        yield api.Problem(
            message=f"as far as we know OpenAI does not tune '{request.model.id}' by {request.method}",
            hint=f"we know of {' and '.join(found.methods)} ({found.source}); see {table().see}",
            path=("model",),
            severity="warning",
        )


def reasons(model: str) -> bool:
    return REASONING.match(model) is not None
