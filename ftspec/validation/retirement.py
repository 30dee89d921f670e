"""Models and APIs that will be gone: said at their lines while there is time, an error when it is wanted."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from ftspec.common.errors import Problem
from ftspec.common.figures import plural
from ftspec.costs.tables import Retirement, Tables


def today() -> datetime.date:
    """The day that retirements are compared with."""
    return datetime.datetime.now(datetime.UTC).date()


def problems(tables: Tables, endpoint: str, model: str, within: float | None = None) -> Iterator[Problem]:
    """What is known to end of an endpoint and a model.

    Args:
        within: so many days ahead an end is an error; else, and where it ends for some only, a warning.
    """
    for end in tables.ends(endpoint, model):
        days = (end.day - today()).days
        fails = within is not None and days <= within and not end.partial
        yield Problem(
            message=_message(end, model, days),
            hint=f"plan to move to another model or tuner ({_known(end)}{end.source}, as of {end.as_of})",
            path=("model",) if end.what == "model" else ("provider",),
            severity="error" if fails else "warning",
        )


def _known(end: Retirement) -> str:
    return "" if end.verified else "unverified: "


def _message(end: Retirement, model: str, days: int) -> str:
    what = f"model '{model}'" if end.what == "model" else "this tuner"
    note = f": {end.note}" if end.note else ""
    if end.partial:
        return f"{what} is being closed{' since' if days <= 0 else ' from'} {end.day}{note}"
    if days > 0:
        return f"{what} retires on {end.day}, in {plural(days, 'day')}{note}"
    return f"{what} has been retired since {end.day}{note}"
