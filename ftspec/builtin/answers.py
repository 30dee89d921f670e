"""What graders share: what an answer says (its text, or its tool calls as JSON text), and how a grade says why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from ftspec import api, rows

NOTHING_EXPECTED = (
    "the prompt has no expected answer: end its messages with the assistant's, or say here what to look for"
)
FENCE = re.compile(r"\s*```[\w-]*[ \t]*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)


def said(answer: api.Answer) -> str:
    """The text of an answer; where it made tool calls, those, written as `Prompt.expected` writes them."""
    return rows.calls_text(answer.tool_calls) if answer.tool_calls else answer.text


def unfenced(text: str) -> str:
    """The text without the Markdown code fence around it, if there is one."""
    fenced = FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def decoded(text: str) -> Any:
    """What JSON says. Raises DecodeError, of what is nested too deeply as well: models repeat a bracket without end."""
    try:
        return msgspec.json.decode(text)
    except (RecursionError, UnicodeEncodeError) as error:
        raise msgspec.DecodeError(str(error)) from error


def short(value: object, limit: int = 60) -> str:
    """A value for a reason: as Python shows it, shortened."""
    try:
        text = repr(value)
    except RecursionError:
        text = "what is nested too deeply to be shown"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def passed_if(passed: bool, reason: str, score: float | None = None) -> api.Grade:
    """A grade whose reason is only given where it did not pass."""
    return api.Grade(passed=passed, score=float(passed) if score is None else score, reason="" if passed else reason)


def normalizer(strip: bool, ignore_case: bool) -> Callable[[str], str]:
    """What of two texts is compared."""

    def normal(value: str) -> str:
        value = value.strip() if strip else value
        return value.casefold() if ignore_case else value

    return normal
