"""Rules of options `min` and `max`, for whatever takes such a pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec import api


def in_order(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """The greatest value is not below the least one."""
    low, high = options["min"], options["max"]
    if low is not None and high is not None and low > high:
        yield ("max",), f"`max` {high:g} is below `min` {low:g}"


def one_or_both(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """At least one of them is given, and they are in order."""
    if options["min"] is None and options["max"] is None:
        yield (), "give `min`, `max` or both"
    yield from in_order(options)
