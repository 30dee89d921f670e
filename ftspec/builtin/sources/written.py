"""Rows that stand in the spec itself."""

from __future__ import annotations

from typing import Any

from ftspec import api, rows
from ftspec.builtin.files import Read, no_row


@api.source(code=["ftspec.builtin.files"])
def examples(*, rows: list[dict[str, Any]]) -> api.Source:
    """Rows written in the spec itself."""
    return api.Source(lambda: _read_values(rows))


def _read_values(values: list[dict[str, Any]]) -> Read:
    good: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, value in enumerate(values, 1):
        problem = rows.fault(value)
        if problem:
            yield no_row(problem, "", number)
        else:
            good.append(value)
            numbers.append(number)
    if good:
        yield api.Chunk(rows.from_dicts(good), "", numbers)
