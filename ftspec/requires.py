"""What is asked before the schema: is this ftspec new enough, and is everything installed that the spec requires?"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from typing import Any

from ftspec import __version__
from ftspec.components import Component
from ftspec.errors import Problem
from ftspec.shape import VERSION

PLAIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?: *>= *(?P<least>[0-9]{1,9}(?:\.[0-9]{1,9})*))?")
RELEASE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})*")
INVALID = "is not a requirement"


def version_problem(data: Any) -> Problem | None:
    """The one problem of a spec that was written for a later ftspec: nothing else about it can be judged."""
    version = data.get("version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version <= VERSION:
        return None
    return Problem(
        message=f"this spec needs a newer ftspec: it is of version {version}, ftspec {__version__} reads {VERSION}",
        hint="pip install -U ftspec",
        path=("version",),
    )


def problems(data: Any) -> list[Problem]:
    """A problem for each entry of `requires` that is not installed, with the line that installs it."""
    wanted = data.get("requires") if isinstance(data, dict) else None
    return list(_problems(wanted)) if isinstance(wanted, list) and wanted else []


def lacking(component: Component) -> list[str]:
    """The component's declared dependencies that are not installed here, as the component wrote them."""
    return [text for text in component.dependencies if _trouble(text)]


def _problems(wanted: list[Any]) -> Iterator[Problem]:
    for index, text in enumerate(wanted):
        trouble = _trouble(text) if isinstance(text, str) and text else ""
        if trouble:
            hint = f'pip install "{text}"'
            if trouble == INVALID:
                hint = 'write a distribution and its versions, e.g. "ftspec-local>=0.1"'
            yield Problem(message=f"'{text[:80]}' {trouble}", hint=hint, path=("requires", index))


def _trouble(text: str) -> str:
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


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _release(version: str | None) -> list[int]:
    """A plain release number, comparable: 1.0 is 1."""
    numbers = [int(part) for part in (version or "0").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
