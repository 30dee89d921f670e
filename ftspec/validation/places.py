"""Where a spec has items, and what may stand beside a component there, as JSON Schema."""

from __future__ import annotations

from typing import Any

from ftspec.common.errors import SpecPath
from ftspec.contracts.components import Kind
from ftspec.layout import dialects

Schema = dict[str, Any]

PLACES: tuple[tuple[Kind, SpecPath], ...] = (
    ("source", ("sources", "*")),
    ("cleaner", ("cleaning", "*")),
    ("format", ("format",)),
    ("check", ("checks", "*")),
    ("provider", ("provider",)),
    ("source", ("eval", "prompts", "*")),
    ("provider", ("eval", "models", "*", "provider")),
    ("grader", ("eval", "graders", "*")),
    ("gate", ("gates", "*")),
    ("engine", ("engine",)),
)
"""Where items stand; `*` is an index."""

SIDES = ("validation", "test")
"""What a split holds out."""

SPLIT_PROMPTS = "split"
"""`- split: test` among the prompts names a side of the split; everything else there is a source."""

OR_TYPES = "x-ftspec-or"
"""Beside an `enum` that is one alternative of several: the types that would do as well, for messages."""

PATTERN = "patternErrorMessage"
"""What to write where a text does not match: a key that editors know too (VS Code, yaml-language-server)."""

ID = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    PATTERN: "Write letters, digits, '.', '_' and '-', at most 64, a letter or a digit first.",
    "description": "What reports and other keys call it: letters, digits, '.', '_' and '-'.",
}

_ON_ERROR = {
    "enum": ["fail", "skip"],
    "default": "fail",
    "description": "What a row that cannot be read or changed does: fail the run, or be left out with a warning.",
}

_AS_IS = {
    "type": "boolean",
    "default": False,
    "description": "Of prompts: ask the rows as they are, which hold `messages`; no cleaning, no format.",
}

_NEGATE = {"type": "boolean", "default": False, "description": "Turn the verdict around."}

_SEVERITY = {
    "enum": ["error", "warning"],
    "default": "error",
    "description": "Whether it stops the run (or fails it), or is only reported.",
}

_WAIVE = {
    "type": "object",
    "description": "Accept what the check finds, for a reason and until a day; after that day it fails again.",
    "properties": {
        "reason": {"type": "string", "minLength": 1, "description": "Why the findings are acceptable."},
        "owner": {"type": "string", "minLength": 1, "description": "Who answers for it."},
        "until": {
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            PATTERN: "Write the last day it holds as year-month-day, like 2027-06-30.",
            "description": "The last day it holds, as year-month-day.",
        },
    },
    "required": ["reason", "owner", "until"],
    "additionalProperties": False,
}

_WEIGHT = {
    "type": "number",
    "minimum": 0,
    "default": 1.0,
    "description": "How much the grader counts; one of weight 0 is reported and does not decide.",
}

_SHARE_OF_MIX = {
    "type": "number",
    "exclusiveMinimum": 0,
    "default": 1.0,
    "description": "With `mix`: how often a row is drawn from this source, beside the others.",
}

_READ_AS = {
    "enum": list(dialects.READ_AS),
    "default": "auto",
    "description": "The shape of conversations that rows have: `auto` tells by the row where the spec has no format "
    "and the method trains on chats, `none` leaves rows as they are.",
}

SIBLINGS: dict[Kind, dict[str, Schema]] = {
    "source": {"id": ID, "on_error": _ON_ERROR, "as_is": _AS_IS, "weight": _SHARE_OF_MIX, "read_as": _READ_AS},
    "cleaner": {"id": ID, "on_error": _ON_ERROR},
    "format": {"on_error": _ON_ERROR},
    "check": {"id": ID, "severity": _SEVERITY, "waive": _WAIVE},
    "provider": {},
    "grader": {"id": ID, "weight": _WEIGHT, "negate": _NEGATE},
    "gate": {"id": ID, "severity": _SEVERITY, "negate": _NEGATE},
    "engine": {},
}
"""What may stand beside a component's key, per kind."""

RESERVED = ("id", "weight", "negate", "severity", "on_error", "waive", "as_is", "read_as")
"""Names that no component may have."""


def place_of(path: SpecPath) -> tuple[Kind, int] | None:
    """The kind of the item that the path is in (or at), and how long the item's own path is."""
    for kind, pattern in PLACES:
        if len(path) >= len(pattern) and all(
            isinstance(part, int) if wanted == "*" else part == wanted
            for part, wanted in zip(path, pattern, strict=False)
        ):
            return kind, len(pattern)
    return None
