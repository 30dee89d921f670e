"""Which distributions are installed here, by metadata alone: importing them to see would take seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from typing import Any

from ftspec.common import distributions
from ftspec.contracts.components import Component

PLAIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?: *>= *(?P<least>[0-9]{1,9}(?:\.[0-9]{1,9})*))?")
RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")
NAME = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE)
"""The name that a requirement begins with: https://packaging.python.org/en/latest/specifications/name-normalization/"""
OURS = {f"ftspec-{name}" for name in ("bedrock", "fireworks", "local", "names", "openai", "ray", "together", "vertex")}
"""The plugins of the project's checkout."""
UPDATE = "bring ftspec up to date, from where you have it"
INVALID = "is not a requirement"


def lacking(component: Component, options: Mapping[str, Any]) -> dict[str, str]:
    """What the component needs with these options and is not installed here, with the lines that install it."""
    return {text: line for text, line in component.wanted(options).items() if trouble(text)}


def line(requirement: str) -> str:
    """The line that installs a distribution. Ours are in the checkout only: on PyPI their names are anybody's."""
    name = found[0].lower() if (found := NAME.match(requirement)) else ""
    if name == "ftspec":
        return UPDATE
    return f"pip install ./plugins/{name}" if name in OURS else f'pip install "{requirement}"'


def remedy(missing: Mapping[str, str]) -> str:
    """The lines that install what is missing: each distribution with its own, "" where pip does it."""
    unsaid = [f'"{text}"' for text, line in missing.items() if not line]
    lines = ["pip install " + " ".join(unsaid)] if unsaid else []
    return " && ".join(dict.fromkeys([*lines, *filter(None, missing.values())]))


def trouble(text: str) -> str:
    """What keeps the requirement from being met here, "" where nothing does."""
    plain = PLAIN.fullmatch(text)
    installed = _version(plain["name"]) if plain else None
    least = _release(plain["least"]) if plain else []
    if installed and RELEASE.fullmatch(installed) and _release(installed) >= least:
        return ""  # the usual case, without the tenth of `validate`'s time that importing a parser takes
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return INVALID
    if requirement.marker and not requirement.marker.evaluate():
        return ""
    installed = _version(requirement.name)
    if installed is None:
        return "is not installed"
    met = requirement.specifier.contains(installed, prereleases=True)
    return "" if met else f"is not met: {installed} is installed"


def version(requirement: str) -> str:
    """The installed version of a distribution that a component depends on, "missing" when there is none."""
    name = NAME.match(requirement)
    return _version(name[0] if name else requirement) or "missing"


def _version(name: str) -> str | None:
    try:
        return distributions.version(name)
    except PackageNotFoundError:
        return None


def _release(version: str | None) -> list[int]:
    """A plain release number, comparable: 1.0 is 1."""
    numbers = [int(part) for part in (version or "0").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
