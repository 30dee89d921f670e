"""Which prompts of an earlier run are those of this one, asked in other words: a system message or a template changed.

A prompt's id is the digest of all that is asked, so one word in the spec's `format` makes other prompts of all rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ftspec.common.messages import Prompt

INSTRUCTIONS = {"system", "developer"}
"""Roles whose messages say how to answer, and not what."""


def counterparts(before: Sequence[Prompt], now: Sequence[Prompt]) -> dict[str, str]:
    """The id that a prompt of `before` has now, by the id that it had; only of those whose ids differ.

    The same are a prompt of the same row, and one with the same messages but for the instructions; either way with the
    same expected answer. What two prompts share tells neither.
    """
    unchanged = {prompt.id for prompt in before} & {prompt.id for prompt in now}
    found: dict[str, str] = {}
    for of in (_row, _question):
        then, here = _only(before, of), _only(now, of)
        pairs = {then[key]: here[key] for key in then.keys() & here.keys()}
        taken = {*unchanged, *found, *found.values()}
        found |= {old: new for old, new in pairs.items() if not {old, new} & taken}
    return found


def _only(prompts: Sequence[Prompt], of: Callable[[Prompt], Any]) -> dict[bytes, str]:
    """Ids by what `of` tells of a prompt, where it tells something and that of one prompt alone."""
    ids: dict[bytes, str] = {}
    for prompt in prompts:
        if told := of(prompt):
            whole = msgspec.json.encode([told, prompt.expected], order="sorted")
            key = hashlib.blake2b(whole, digest_size=16).digest()
            ids[key] = "" if key in ids else prompt.id
    return {key: id for key, id in ids.items() if id}


def _row(prompt: Prompt) -> Any:
    return prompt.row


def _question(prompt: Prompt) -> Any:
    return [message for message in prompt.messages if message.role not in INSTRUCTIONS]
