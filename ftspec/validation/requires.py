"""What is asked before the schema: is this ftspec new enough, and is everything installed that the spec requires?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftspec import __version__
from ftspec.common.errors import Problem
from ftspec.installed import INVALID, UPDATE, line, trouble
from ftspec.validation.keys import VERSION


def version_problem(data: Any) -> Problem | None:
    """The one problem of a spec that was written for a later ftspec: nothing else about it can be judged."""
    version = data.get("version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version <= VERSION:
        return None
    return Problem(
        message=f"this spec needs a newer ftspec: it is of version {version}, ftspec {__version__} reads {VERSION}",
        hint=UPDATE,
        path=("version",),
    )


def problems(data: Any) -> list[Problem]:
    """A problem for each entry of `requires` that is not installed, with the line that installs it."""
    wanted = data.get("requires") if isinstance(data, dict) else None
    return list(_problems(wanted)) if isinstance(wanted, list) and wanted else []


def _problems(wanted: list[Any]) -> Iterator[Problem]:
    for index, text in enumerate(wanted):
        fault = trouble(text) if isinstance(text, str) and text else ""
        if fault:
            hint = line(text)
            if fault == INVALID:
                hint = 'write a distribution and its versions, e.g. "ftspec-local>=0.1"'
            yield Problem(message=f"'{text[:80]}' {fault}", hint=hint, path=("requires", index))
