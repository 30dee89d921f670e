"""`${env:NAME}` and `${secret:NAME}` in a spec's string values, and the mask that keeps secrets out of all output.

An env reference is replaced when the spec is read, and so enters digests. A secret reference stays as it is in the
Spec, in digests and in every file; `resolve` replaces it at the moment of use, and from then on `mask` hides the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ftspec.errors import FtspecError, SpecPath

ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_]*)\}")
REFERENCE = re.compile(r"\$\{(?:env|secret)s?:[^}]*\}?", re.IGNORECASE)
"""What looks like a reference; one that ENV and SECRET do not match is misspelt."""
MASK = "***"
MASKED_LINE = 8
FRAGMENT = 12
"""Characters in a row of a secret that are masked too: services put parts of keys into their messages."""
LONGEST = 512
"""Characters of a secret above which it is no key, and its parts are not looked for."""
ABBREVIATED = re.compile(r"([\w+/-]{2,11})?(?:\*{3,}|\.{3}|…)([\w+/-]{2,11})?")
"""A key as services show it: its beginning and its end, both shorter than a FRAGMENT."""


class Filled(NamedTuple):
    """What `fill_environment` made: the value, the text of every changed string as it was, and what is not set."""

    value: Any
    written: dict[SpecPath, str]
    missing: list[tuple[SpecPath, str]]


def fill_environment(value: Any, environment: Mapping[str, str] | None = None) -> Filled:
    """Replace `${env:NAME}` in every string value; keys and secrets stay as they are."""
    filled = Filled(None, {}, [])
    return filled._replace(value=_fill(value, (), filled, os.environ if environment is None else environment))


def _fill(value: Any, path: SpecPath, filled: Filled, environment: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(entry, (*path, key), filled, environment) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, (*path, index), filled, environment) for index, entry in enumerate(value)]
    if not isinstance(value, str) or not ENV.search(value):
        return value
    filled.written[path] = value
    filled.missing.extend((path, name) for name in dict.fromkeys(ENV.findall(value)) if name not in environment)
    return ENV.sub(lambda match: environment.get(match[1], match[0]), value)


def secret_names(value: Any) -> set[str]:
    """Names of all secrets that a value (nested dicts, lists, strings) refers to."""
    if isinstance(value, str):
        return set(SECRET.findall(value))
    if isinstance(value, Mapping):
        return set().union(*map(secret_names, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(secret_names, value))
    return set()


def resolve(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """The value with its secrets filled in, which are masked from now on: keep what this returns nowhere.

    Raises FtspecError naming every secret that is not set."""
    environment = os.environ if environment is None else environment
    names = secret_names(value)
    mask.names.update(names)
    missing = sorted(name for name in names if not environment.get(name))
    if missing:
        raise FtspecError(
            f"secret{'s'[: len(missing) != 1]} not set: {', '.join(missing)}", hint_for(missing, environment)
        )
    return _replace(value, environment)


def hint_for(missing: Iterable[str], environment: Mapping[str, str] | None = None) -> str:
    """What to do about secrets that are not set. CI sets one that it does not know to nothing."""
    environment = os.environ if environment is None else environment
    if any(name in environment for name in missing):
        return "the environment variable of that name is empty: look whether your CI's secret store has it"
    return "set the environment variable of that name, e.g. from your CI's secret store"


def missing_secrets(value: Any, path: SpecPath = ()) -> Iterator[tuple[SpecPath, str]]:
    """Where a value, at `path`, refers to secrets that are not set, and their names."""
    if isinstance(value, str):
        yield from ((path, name) for name in dict.fromkeys(SECRET.findall(value)) if not os.environ.get(name))
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from missing_secrets(entry, (*path, key))
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from missing_secrets(entry, (*path, index))


def _replace(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return SECRET.sub(lambda match: environment[match[1]], value)
    if isinstance(value, Mapping):
        return {key: _replace(entry, environment) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(entry, environment) for entry in value]
    return value


class Mask:
    """Replaces the values of secrets in text. Values come from the environment each time, so none is kept here.

    `literals` are those that stand in the spec itself.
    """

    def __init__(self, names: Iterable[str] = (), literals: Iterable[str] = ()) -> None:
        self.names = set(names)
        self.literals = set(literals)

    def __call__(self, text: str) -> str:
        return self.now()(text) if text else text

    def now(self) -> Callable[[str], str]:
        """The mask with the values as they are at this moment: for many texts, held no longer than these take."""
        secrets = {os.environ.get(name, "") for name in self.names} | self.literals
        secrets |= {value.strip() for value in secrets}  # as a header carries it, and an answer may give it back
        # A key of several lines is also masked line by line, since output shows lines.
        secrets |= {line for value in secrets for line in value.splitlines() if len(line) >= MASKED_LINE}
        values = sorted(filter(None, secrets), key=len, reverse=True)
        keys = [value for value in values if FRAGMENT < len(value) <= LONGEST]

        def masked(text: str) -> str:
            for value in values:
                text = text.replace(value, MASK)
            for key in keys:
                text = _without_parts(text, key)
            return ABBREVIATED.sub(lambda match: MASK if _ends(match, keys) else match[0], text) if keys else text

        return masked


def _without_parts(text: str, key: str) -> str:
    """The text with every part of the key masked that is at least FRAGMENT long."""
    at = 0
    while at <= len(key) - FRAGMENT:
        part = key[at : at + FRAGMENT]
        if part in text:
            while at + len(part) < len(key) and key[at : at + len(part) + 1] in text:
                part = key[at : at + len(part) + 1]
            text = text.replace(part, MASK)
        else:
            at += 1
    return text


def _ends(match: re.Match[str], keys: Iterable[str]) -> bool:
    """Whether the beginning or the end that was matched is that of a key."""
    begin, end = match[1] or "", match[2] or ""
    return any((begin and key.startswith(begin)) or (end and key.endswith(end)) for key in keys)


mask = Mask()
"""The process's mask: `mask.names.update(spec.secrets)` as soon as a document has been read, before it is checked."""
