"""References of a spec that are misspelt, and secrets where they would be kept in a file or a digest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ftspec.common.errors import Problem, Severity, SpecPath
from ftspec.common.masking import FRAGMENT, holds_credential, is_common, signatures
from ftspec.common.references import ENV, REFERENCE, SECRET, mask
from ftspec.common.wording import with_article
from ftspec.contracts.components import TITLES, Component
from ftspec.contracts.options import MARK, names_provider
from ftspec.files.fetching import is_url, public
from ftspec.registry import Registry
from ftspec.validation.candidate import Candidate
from ftspec.validation.places import place_of

SECRET_KINDS = {"source", "provider", "grader", "engine"}
"""Kinds whose options may hold a secret. Of any other kind only those may that are declared to (`api.Secret`): the rest
would end up in the training data or in a record of it."""


def secrets(candidate: Candidate) -> Iterator[Problem]:
    """References that are misspelt, in keys, or secrets where they would end up in a file or a digest."""
    document, registry = candidate.document, candidate.registry
    for path, text, is_key in _texts(document.data, ()):
        text = text if is_key else document.written.get(path, text)
        for match in REFERENCE.finditer(text):
            if is_key:
                message = f"a reference in a key is not replaced: {match[0][:60]}"
                yield Problem(message=message, hint="references work in values only", path=path, on="key")
            elif not SECRET.fullmatch(match[0]) and not ENV.fullmatch(match[0]):
                message = f"misspelt reference: {match[0][:60]}"
                yield Problem(message=message, hint="write ${env:NAME} or ${secret:NAME}", path=path)
        if not is_key and SECRET.search(text):
            yield from _unhidden(path, text)
            if not _in_address(path, text):
                yield from _misplaced(path, registry)


def in_plain(candidate: Candidate) -> Iterator[Problem]:
    """Texts that look like a secret themselves: an error where a reference can stand in their place, else a warning.

    A long one is masked from here on, like the others; a short one, such as a database's on this machine, is warned of.
    """
    for path, text, is_key in _texts(candidate.document.data, ()):
        if is_key:
            continue
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        plain = REFERENCE.sub("${}", text)
        found = _of_environment(candidate.document.written.get(path, "")) or signatures(plain) or _found(name, plain)
        if found:
            long = [secret for secret in found if len(secret) >= FRAGMENT]
            mask.literals.update(long)
            place = place_of(path)
            movable = _hidden(path, text, found) or not any(_misplaced(path, candidate.registry))
            hint = "write ${secret:NAME} in its place" if movable else "take it out"
            hint += "; what a spec says is committed and kept in records of its runs"
            needless = movable or (place is not None and place[0] in SECRET_KINDS)
            severity: Severity = "error" if long and needless and not _compared(path, name) else "warning"
            yield Problem(message="this looks like a secret", hint=hint, path=path, severity=severity)


NO_VALUE = ("_column", "_columns", "_field", "_fields", "_name", "_version")
"""How options end that name something, whatever stands before it: a `token_column` holds no token."""


def _found(name: str, text: str) -> list[str]:
    """What looks like a secret in an option's text."""
    if not _may_be_secret(text):
        return []
    from ftspec.builtin.redaction import credentials  # its patterns take a while to compile

    return credentials.in_option("" if name.endswith(NO_VALUE) else name, text)


def _of_environment(written: str) -> list[str]:
    """What variables of the environment hold that are called like a secret, whatever it looks like."""
    values = [os.environ.get(name, "") for name in ENV.findall(written) if holds_credential(name)]
    return [value for value in values if len(value) >= FRAGMENT]


def _compared(path: SpecPath, name: str) -> bool:
    """Whether it is a text that a grader compares answers with: it may be one made up, to see that no model says it."""
    place = place_of(path)
    if place is None or place[0] != "grader" or holds_credential(name):
        return False
    return not any(isinstance(part, str) for part in path[place[1] + 2 :])


RANDOM = re.compile(r"(?=[a-z_-]*[0-9A-Z])[\w-]{16,}", re.ASCII)


def _may_be_secret(text: str) -> bool:
    """Whether to look closely: an address with a user, or a word of letters and digits that is long."""
    return ("://" in text and "@" in text) or any(
        re.search("[0-9]", word) and (word.lower() != word or re.search("[0-9a-f]{16}", word))
        for word in RANDOM.findall(text)
    )


def _texts(value: Any, path: SpecPath) -> Iterator[tuple[SpecPath, str, bool]]:
    """(path, text, whether it is a key) of every text in the document."""
    if isinstance(value, str):
        yield path, value, False
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _texts(entry, (*path, index))
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield (*path, key), key, True
            yield from _texts(entry, (*path, key))


def _unhidden(path: SpecPath, text: str) -> Iterator[Problem]:
    """Secrets that are set to what could be any word."""
    for name in SECRET.findall(text):
        if (value := os.environ.get(name, "")).strip() and is_common(value):
            message = f"the value of {name} is short enough to be any word or number, so that it is not hidden"
            hint = "where it is to be secret, set one of 6 characters or more"
            yield Problem(message=message, hint=hint, path=path, severity="warning")


def _misplaced(path: SpecPath, registry: Registry) -> Iterator[Problem]:
    """A secret may stand in a text option (no path) of what talks to others; anywhere else it would be kept."""
    place = place_of(path)
    if place is None or len(path) < place[1] + 2:
        yield Problem(
            message="a secret cannot stand here", hint="secrets work in options, e.g. of a provider", path=path
        )
        return
    kind, start = place
    title, name = TITLES[kind], str(path[start])
    if name not in registry.components[kind]:
        return
    if kind not in SECRET_KINDS and not _is_secret(registry.get(kind, name), str(path[start + 1])):
        message = f"a secret cannot stand in the options of {with_article(title)}"
        yield Problem(message=message, hint="it would end up in the data or in a record of the run", path=path)
    elif not _takes_text(registry.get(kind, name), path[start + 1 :], registry):
        message = f"option '{path[start + 1]}' of {title} '{name}' cannot hold a secret"
        yield Problem(message=message, hint="only options that take plain text can", path=path)


def _in_address(path: SpecPath, text: str) -> bool:
    """Whether all secrets stand where an address of a source is shown to nobody: as its password, or in its query."""
    return _hidden(path, text, SECRET.findall(public(text)))


def _hidden(path: SpecPath, text: str, secrets: Iterable[str]) -> bool:
    """Whether none of these stands in what is shown of a source's address."""
    place = place_of(path)
    shown = public(text)
    return place is not None and place[0] == "source" and is_url(text) and not any(one in shown for one in secrets)


def _is_secret(component: Component, option: str) -> bool:
    """Whether the option is declared as one that may hold a secret."""
    options = msgspec.json.schema(component.options)["$defs"][component.options.__name__].get("properties", {})
    return bool(options.get(option, {}).get(MARK) == "secret")


def _takes_text(component: Component, path: SpecPath, registry: Registry) -> bool:
    """Whether the option is declared as text, and is not a path: paths and untyped values are kept in records.

    In the options of a provider that the option names, it is that provider's options that say."""
    schema = msgspec.json.schema(component.options)
    definitions = schema["$defs"]
    options = definitions[component.options.__name__].get("properties", {})
    if names_provider(options.get(path[0], {})):
        named = registry.components["provider"].get(str(path[1])) if len(path) > 2 else None
        known = named is not None and _takes_text(named.component, path[2:], registry)
        return known or (named is None and len(path) > 2)  # that nobody knows the provider is told by itself
    found: list[Mapping[str, Any]] = [schema]
    for part in (*path, None):
        found = [flat for one in found for flat in _alternatives(one, definitions)]
        if part is not None:
            found = [inner for one in found if (inner := _inner(one, part)) is not None]
    return any(one.get("type") == "string" and one.get(MARK, "secret") == "secret" for one in found)


def _alternatives(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _alternatives(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _alternatives(one, definitions)
    else:
        yield schema


def _inner(schema: Mapping[str, Any], part: str | int) -> Mapping[str, Any] | None:
    if isinstance(part, int):
        inner = schema.get("items")
    else:
        inner = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
    return inner if isinstance(inner, Mapping) else None
