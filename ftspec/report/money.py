"""What a run has cost and what serving its model costs, in words: tables of label to amount."""

from __future__ import annotations

from ftspec.common.figures import money
from ftspec.costs.costs import Serving
from ftspec.report.data import ReportData


def spent(data: ReportData) -> dict[str, str]:
    """What the run has spent, part by part; empty where nothing costs anything."""
    found = data.spending
    if found is None or not (found.total or found.unknown or found.uncounted or found.cap):
        return {}
    table = {part: money(amount, found.currency) for part, amount in found.parts.items() if amount}
    if found.unsettled:
        table["perhaps"] = f"{money(found.unsettled, found.currency)}, of which nobody knows whether it was billed"
    table |= {part: f"{table[part]}, unverified price" for part in found.unverified if part in table}
    table |= dict.fromkeys(found.unknown, "cannot tell")
    if found.uncounted:
        table["not counted"] = f"{found.uncounted:,} answers without a known price"
    known = money(found.total, found.currency)
    if found.unknown or found.uncounted:
        known = f"at least {known}" if found.total else "cannot tell"
    of = f" of {money(found.cap, found.currency)}" if found.cap else ""
    rests = ", unverified prices" if found.total and found.unverified else ""
    return table | {"together": known + of + rests}


def serving(data: ReportData) -> dict[str, str]:
    """What 1,000 answers like those of the evaluation cost with each model."""
    return {f"{one.label}: {one.model}": _served(one) for one in data.serving}


def _served(one: Serving) -> str:
    hosting = ""
    unverified = "" if one.verified else ", unverified"
    if one.hosting_hour:
        hosting = f", and {money(one.hosting_hour, one.currency)} for each hour that it is deployed{unverified}"
    if one.thousand is None:
        return f"cannot tell: {one.basis}{hosting}"
    tokens = f"{one.prompt_tokens or 0:,.0f} + {one.completion_tokens or 0:,.0f} tokens each"
    prices = f"{'' if one.verified else 'unverified '}prices"
    return f"{money(one.thousand, one.currency)} ({tokens}, {prices} of {one.as_of}){hosting}"
