"""Scores and comparisons as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftspec.common.figures import moment, money, partly, percent, points
from ftspec.common.terminal import safe, table

if TYPE_CHECKING:
    from ftspec.common.evaluation import Comparison, Evaluation, Interval, Score


def table_of(found: Evaluation) -> str:
    """One line per model that was asked."""
    header = ("MODEL", "PROMPTS", "ACCURACY", "95% INTERVAL", "CONSISTENCY", "MEDIAN", "COST", "ERRORS")
    return table([_row(label, score) for label, score in found.scores.items()], header)


def _row(label: str, score: Score) -> tuple[str, ...]:
    repeats = f" × {score.repeats}" if score.repeats > 1 else ""
    return (
        safe(label),
        f"{score.prompts:,}{repeats}",
        percent(score.known),
        f"{percent(score.interval.low)} to {percent(score.interval.high)}",
        percent(score.consistency),
        "–" if score.latency_p50 is None else moment(score.latency_p50.value),
        "–" if score.cost is None else money(score.cost, "USD") + partly(score.priced, score.unpriced),
        str(score.errors or "–"),
    )


def compared(found: Evaluation) -> str:
    """One line per pair of models that was compared."""
    header = ("COMPARED", "METRIC", "DIFFERENCE", "95% INTERVAL", "P", "BETTER", "WORSE", "OF")
    return table([_difference(one) for one in found.comparisons], header)


def lost(found: Evaluation) -> Iterator[str]:
    """The prompts that the later model of a pair lost most on."""
    for one in found.comparisons:
        for case in one.worst if one.metric == "accuracy" else ():
            where = f" {safe(case.origin)}:" if case.origin else ""
            change = f"{safe(one.label)} {points(case.value)}"
            yield f"{change} on{where} {_short(case.asked)} → {_short(case.said)}"


def _difference(one: Comparison) -> tuple[str, ...]:
    return (
        f"{safe(one.label)} − {safe(one.against)}",
        one.metric,
        points(one.difference) if one.prompts else "–",
        _span(one.interval) if one.prompts else "–",
        "–" if one.p_value is None else f"{one.p_value:.3g}",
        str(one.better),
        str(one.worse),
        str(one.prompts),
    )


def _span(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def _short(text: str) -> str:
    shown = safe(" ".join(text.split()))
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
