"""The texts within one value: nested lists and objects, a part of a message, a tool call. Plain Python, no Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ftspec.layout import chat
from ftspec.layout.chat import decode, to_json

LONG = 9
"""Digits from which on a number may be a telephone's, an account's or a person's: no shorter one is looked at."""


def map_nested(value: Any, function: Callable[[str], str]) -> Any:
    """Apply `function` to every text in nested lists and objects; keys stay."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_nested(entry, function) for key, entry in value.items()}
    if isinstance(value, list):
        return [map_nested(entry, function) for entry in value]
    return value


def map_whole(value: Any, function: Callable[[str], str]) -> Any:
    """`map_nested` for what must not stay anywhere: keys and long numbers are texts too.

    A number is asked about as a text of its digits, then behind its key (`phone: 2125550123`): what is found in it
    takes its place, as a text. Keys that become the same are counted: `[EMAIL]`, `[EMAIL] 2`.
    """
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, entry in value.items():
            made[_unused(function(key), made)] = map_entry(key, entry, function)
        return made
    if isinstance(value, list):
        return [map_whole(entry, function) for entry in value]
    number = _digits(value)
    return map_nested(value, function) if number is None else _map_number(value, number, "", function)


def map_entry(key: str, entry: Any, function: Callable[[str], str]) -> Any:
    """`map_whole` of what stands behind a key, or in a column of that name; the key stays."""
    number = _digits(entry)
    return map_whole(entry, function) if number is None else _map_number(entry, number, key, function)


def map_value(
    column: str, value: Any, function: Callable[[str], str], walk: Callable[[Any, Callable[[str], str]], Any]
) -> Any:
    """A column's value by `walk`; to `map_whole` the column's name is the value's key."""
    return map_entry(column, value, function) if walk is map_whole else walk(value, function)


def _unused(key: str, taken: Mapping[str, Any]) -> str:
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key} {number}"
    return free


def _digits(value: Any) -> str | None:
    """A long number as the text of its digits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) < 10 ** (LONG - 1):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value)


def _map_number(value: Any, number: str, key: str, function: Callable[[str], str]) -> Any:
    after = function(number)
    if after == number and key:
        before = f"{key}: "
        after = function(before + number)
        # What is found in the key alone is not the number's.
        after = after[len(before) :] if after.startswith(before) else number
    return value if after == number else after


def changed(text: str, change: Callable[[Any], Any]) -> str:
    """A JSON text with its value changed; as it was, white space and all, where that changes nothing."""
    before = decode(text)
    after = change(before)
    return text if after == before else to_json(after)


def map_part(part: Any, function: Callable[[str], str]) -> Any:
    """One part of a message's content, its text changed."""
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return {**part, "text": function(part["text"])}
    return part


def map_call(
    call: Any, function: Callable[[str], str], walk: Callable[[Any, Callable[[str], str]], Any] = map_nested
) -> Any:
    """A tool call with the texts of its arguments changed, be they an object or the JSON text of one.

    `walk` is `map_nested` or `map_whole`.
    """
    inner = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or "arguments" not in inner:
        return call
    return {**call, "function": {**inner, "arguments": _map_arguments(inner["arguments"], function, walk)}}


def _map_arguments(
    arguments: Any, function: Callable[[str], str], walk: Callable[[Any, Callable[[str], str]], Any]
) -> Any:
    if not isinstance(arguments, str):
        return walk(arguments, function)
    try:
        before = decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return function(arguments)
    if chat.is_deep(before):
        return function(arguments)
    after = walk(before, function)
    return arguments if after == before else to_json(after)
