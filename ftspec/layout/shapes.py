"""Rows of other shapes than conversations: preference pairs and reinforcement items, as files have them.

A preference pair comes in the shape of OpenAI (`input`, `preferred_output`, `non_preferred_output`) or of TRL
(`prompt`, `chosen`, `rejected`; text, or messages, or whole conversations of which the common beginning is the prompt).
Either becomes `messages` (the conversation so far), `chosen` and `rejected` (how it may go on), all of MESSAGES type.
What a row lacks is left out, for the `format` check to report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ftspec.layout import chat

if TYPE_CHECKING:
    import pyarrow as pa

Shape = Literal["chat", "preference", "reinforcement"]
"""What the rows of a training method are: conversations, pairs of a better and a worse answer, or prompts to act on."""

Conversation = list[dict[str, Any]]
ANSWERS = ("chosen", "rejected")
COLUMNS: dict[Shape, tuple[str, ...]] = {
    "chat": ("messages", "tools"),
    "preference": ("messages", *ANSWERS, "tools"),
    "reinforcement": ("messages", "tools", "item"),
}
"""The columns of formatted rows, beside the hidden ones."""

READ: dict[Shape, tuple[str, ...]] = {
    "chat": (),
    "preference": ("messages", "tools", "prompt", *ANSWERS, "input", "preferred_output", "non_preferred_output"),
    "reinforcement": ("messages", "prompt"),
}
"""Columns that rows of a known shape are told by."""


class Fault(ValueError):
    """Why a value is no conversation."""


def conversation(value: Any, role: str, name: str) -> Conversation | None:
    """A value of column `name` as messages: text is one message of `role`, one message stands for a list of it, and a
    list may come as its JSON text. None is None. Raises Fault."""
    if isinstance(value, str):
        parsed = _parsed(value)
        return [{"role": role, "content": value}] if parsed is None else parsed
    if isinstance(value, Mapping):
        value = [value]
    if reason := chat.fault(value):
        raise Fault(reason.replace("'messages'", f"'{name}'"))
    return None if value is None else list(value)


def _parsed(text: str) -> Conversation | None:
    """The messages whose JSON a text is, if it is; None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = chat.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    if chat.is_deep(value):
        return None
    known = isinstance(value, list) and value and all(isinstance(each, Mapping) and "role" in each for each in value)
    return value if known else None


def apart(
    asked: Conversation | None, chosen: Conversation | None, rejected: Conversation | None
) -> tuple[Conversation | None, Conversation | None, Conversation | None]:
    """(conversation so far, how it goes on, how else), where both answers may repeat the conversation from its start.

    Without a prompt of its own the prompt is what both begin with, but never their last message.
    """
    if not chosen or not rejected or "assistant" in (chosen[0].get("role"), rejected[0].get("role")):
        return asked, chosen, rejected
    shared = _shared(chosen, rejected)
    if asked and chosen[:shared][-len(asked) :] != asked:
        return asked, chosen, rejected
    return chosen[:shared] or asked, chosen[shared:], rejected[shared:]


def _shared(one: Conversation, other: Conversation) -> int:
    """How many messages both begin with, leaving at least one of each."""
    most = min(len(one), len(other)) - 1
    return next((index for index in range(most) if one[index] != other[index]), most)


def pair(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns as those of a preference pair. Raises Fault."""
    row = dict(row)
    asked = row.pop("messages", None)
    given, prompt = row.get("input"), row.get("prompt")
    if isinstance(given, Mapping) and "messages" in given:
        given = dict(row.pop("input"))
        asked = given.pop("messages")
        row.setdefault("tools", given.pop("tools", None))
        if not isinstance(row["tools"], list | None):
            raise Fault("'tools' must be a list of tools")
        row |= {"input": given} if given else {}
    elif asked is None and prompt is not None:
        asked = row.pop("prompt")
    preferred = row.pop("preferred_output", row.get("chosen"))
    other = row.pop("non_preferred_output", row.get("rejected"))
    row["messages"], row["chosen"], row["rejected"] = apart(
        conversation(asked, "user", "prompt"),
        conversation(preferred, "assistant", "chosen"),
        conversation(other, "assistant", "rejected"),
    )
    return row


def item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns as those of a reinforcement item, whose prompt is `messages` or `prompt`. Raises Fault."""
    row = dict(row)
    if row.get("messages") is None and "prompt" in row:
        row["messages"] = conversation(row.pop("prompt"), "user", "prompt")
    return row


def is_read(batch: pa.RecordBatch, shape: Shape) -> bool:
    """Whether nothing of the batch is left to be read: conversations have their type, and no other column is one."""
    names = set(batch.schema.names)
    needed = [name for name in COLUMNS[shape] if name in ("messages", *ANSWERS)]
    return shape == "chat" or (
        all(name in names and batch.schema.field(name).type == chat.messages_type() for name in needed)
        and not names & (set(READ[shape]) - {*needed, "tools"})
    )


def expected(answer: Sequence[Any]) -> Any:
    """Of the messages that go on from a prompt, the one that an evaluation compares with; None where there is none."""
    return next((message for message in reversed(answer) if message.role == "assistant"), None)
