"""How values become text for people: data whose invisible characters must be seen, contents, options."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Control, bidirectional, zero-width and tag characters, lone surrogates: what would hide or reorder text.

The zero-width joiners stay: emoji and many scripts need them.
"""


def named(match: re.Match[str]) -> str:
    """The name that stands for a hidden character."""
    return f"⟨U+{ord(match[0]):04X}⟩"


def visible(text: str) -> str:
    """The text with every hidden character replaced by its name, e.g. ⟨U+202E⟩; also safe in XML 1.0."""
    return HIDDEN.sub(named, text.replace("\r\n", "\n"))


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, saying how many are left out."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def value(given: Any) -> str:
    """An option's value in one line, as the spec would write it."""
    import msgspec

    if isinstance(given, str):
        return given
    if isinstance(given, float):
        return f"{given:g}"
    return msgspec.json.encode(given).decode()


def content(given: Any) -> str:
    """A message's content as text: its text parts, and a word for each other part."""
    if given is None:
        return ""
    if isinstance(given, list):
        return "\n".join(
            str(part.get("text", f"[{part.get('type', 'part')}]")) if isinstance(part, dict) else str(part)
            for part in given
        )
    return value(given)


def row(given: Any) -> str:
    """A row of a data sample: its columns one a line; text as it is."""
    if not isinstance(given, dict):
        return content(given)
    return "\n".join(f"{column}: {content(cell)}" for column, cell in given.items())
