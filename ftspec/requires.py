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

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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
    return [text for text in component.dependencies if not _is_installed(text)]


def _is_installed(text: str) -> bool:
    try:
        if PLAIN.fullmatch(text):  # the usual case, without the cost of importing a parser
            return bool(importlib.metadata.version(text))
    except importlib.metadata.PackageNotFoundError:
        return False
    from packaging.requirements import Requirement

    return not _trouble(Requirement(text))


def _problems(wanted: list[Any]) -> Iterator[Problem]:
    from packaging.requirements import InvalidRequirement, Requirement

    for index, text in enumerate(wanted):
        if not isinstance(text, str) or not text:
            continue
        try:
            trouble, hint = _trouble(Requirement(text)), f'pip install "{text}"'
        except InvalidRequirement:
            trouble, hint = "is not a requirement", 'write a distribution and its versions, e.g. "ftspec-local>=0.1"'
        if trouble:
            yield Problem(message=f"'{text[:80]}' {trouble}", hint=hint, path=("requires", index))


def _trouble(requirement: Any) -> str:
    if requirement.marker and not requirement.marker.evaluate():
        return ""
    try:
        installed = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"
    return (
        "" if requirement.specifier.contains(installed, prereleases=True) else f"is not met: {installed} is installed"
    )
