"""`${env:NAME}` and `${secret:NAME}` in a spec's string values, and the mask that keeps secrets out of all output.

An env reference is replaced when the spec is read, and so enters digests. A secret reference stays as it is in the
Spec, in digests and in every file; `resolve` replaces it at the moment of use, and from then on `mask` hides the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from ftspec.common import masking
from ftspec.common.errors import FtspecError, SpecPath
from ftspec.common.masking import FRAGMENT, PASSWORD_IN_ADDRESS, credentials, holds_credential

ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_]*)\}")
REFERENCE = re.compile(r"\$\{(?:env|secret)s?:[^}]*\}?", re.IGNORECASE)
"""What looks like a reference; one that ENV and SECRET do not match is misspelt."""
USER = re.compile(r"(?<=://)[^/?#]*@")
"""User and password of an address, before references in it are replaced."""
ENDS_USER = re.compile(r"[/?#@\[\]\s]")
"""Of a password that is not written as addresses have it: all that follows would be taken for a host or a path."""


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


def resolve(value: Any, environment: Mapping[str, str] | None = None, *, sent: bool = True) -> Any:
    """The value with its secrets filled in, which are masked from now on: keep what this returns nowhere.

    `sent`: they go to a server, and are masked in what comes back from it too.
    Raises FtspecError naming every secret that is not set."""
    environment = os.environ if environment is None else environment
    names = secret_names(value)
    mask.names.update(names)
    if sent:
        mask.servers.update(names)
    missing = sorted(name for name in names if not environment.get(name))
    if missing:
        raise FtspecError(
            f"secret{'s'[: len(missing) != 1]} not set: {', '.join(missing)}", hint_for(missing, environment)
        )
    return _replace(value, environment)


def without_secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that has no use for secrets: without those that a spec refers to, what is called
    like one (`HF_TOKEN`, `..._API_KEY`), and addresses that hold a password."""
    environment = os.environ if environment is None else environment
    return {
        name: value
        for name, value in environment.items()
        if name not in mask.names and not holds_credential(name) and not PASSWORD_IN_ADDRESS.search(value)
    }


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
        within = USER.search(value)
        start, end = within.span() if within else (0, 0)

        def said(match: re.Match[str]) -> str:
            secret = environment[match[1]]
            return quote(secret, safe="") if start <= match.start() < end and ENDS_USER.search(secret) else secret

        return SECRET.sub(said, value)
    if isinstance(value, Mapping):
        return {key: _replace(entry, environment) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(entry, environment) for entry in value]
    return value


class Mask:
    """Replaces the values of secrets in text, also as other formats write them, and the signatures of addresses. Values
    come from the environment each time: what a variable holds now is what is masked.

    `names` are secrets that a spec refers to, `literals` those that stand in the spec itself, `servers` the names of
    those that are sent to a server. Variables that libraries read by themselves (HF_TOKEN, AWS_SECRET_ACCESS_KEY, the
    password of HTTPS_PROXY) are masked by what they are called.
    """

    def __init__(self, names: Iterable[str] = (), literals: Iterable[str] = ()) -> None:
        self.names = set(names)
        self.literals = set(literals)
        self.servers: set[str] = set()

    def __call__(self, text: str) -> str:
        return self.now()(text) if text else text

    def now(self) -> Callable[[str], str]:
        """The mask with the values as they are at this moment: for many texts, held no longer than these take."""
        secrets = {os.environ.get(name, "") for name in self.names} | self.literals | set(credentials(os.environ))
        hidden = masking.of(frozenset(filter(None, secrets)))
        return lambda text: masking.unsigned(hidden(text))

    def answers(self) -> Callable[[str], str]:
        """The mask for what a model answers: the keys of servers alone, which a broken one may give back, and nothing
        that a word could be. What graders look for must stay."""
        found = {os.environ.get(name, "").strip() for name in self.servers}
        return masking.of(frozenset(value for value in found if len(value) >= FRAGMENT), shortened=False)


mask = Mask()
"""The process's mask: `mask.names.update(spec.secrets)` as soon as a document has been read, before it is checked."""
