"""Rules of options `min` and `max`, for whatever takes such a pair; how what was measured is told beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec import api


def in_order(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """The greatest value is not below the least one."""
    low, high = options["min"], options["max"]
    if low is not None and high is not None and low > high:
        yield ("max",), f"`max` {high:g} is below `min` {low:g}"


def percent(share: float, bound: float) -> str:
    """A share that is told beside a bound: 4.9%, and 4.96% beside 5%."""
    return f"{api.beside(100 * share, 100 * bound, digits=1)}%"


def one_or_both(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """At least one of them is given, and they are in order."""
    if options["min"] is None and options["max"] is None:
        yield (), "give `min`, `max` or both"
    yield from in_order(options)
